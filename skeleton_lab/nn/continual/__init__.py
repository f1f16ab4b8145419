"""Networks over frames that are still coming: what is known of a frame is computed once, when it can be.

Hedegaard, Heidari, Iosifidis: "Continual spatio-temporal graph convolutional networks", Pattern Recognition 140, 2023.

A layer over frames of kernel k (odd), dilation d, stride s and padding p = (k - 1) d / 2 makes of a clip of T frames
y[j] = f(x[s j - p], ..., x[s j + p]), j = 0 ... ceil(T / s) - 1, with padding for frames outside 0 ... T - 1.  So y[j]
is final, whatever follows, when frame s j + p is there: a layer that remembers 2p frames computes every output once.
Its first p frames of memory are the padding before the clip.  Of layers in turn

    S = prod_i s_i,    R = sum_i p_i prod_(h < i) s_h:    output j of the last is final when frame S j + R is there.

- Layers side by side (branches, residuals) wait for the one of the largest reach; x[s j] waits for y[j].
- Layers that look at one frame alone (1x1 convolutions, norms in evaluation, a sum over joints by a graph that training
  has fixed) need no memory.  A graph that is made of a mean over frames changes with every frame for all of them:
  such networks have no continual form, nor have attention and transforms over frames.
- The mean.  Logits are affine in the mean of phi[j] over output frames j, where phi is pooled over joints and people:
  a ring of them is all that is remembered of the past, and its sum is taken anew each time, so no rounding gathers.

After frames 0 ... t the last outputs, with S j + R > t, are not final.  ``end="pad"`` makes them as if the clip ended
there, with padding behind frame t, and forgets them again: then the mean over j = 0 ... ceil((t + 1) / S) - 1 is the
network's own of the clip 0 ... t.  That costs every layer what it has yet to say: the last one R frames.
``end="wait"`` takes the mean of those that are final: a frame's work and no more, R frames late.

A window of W frames is the last ceil(W / S) outputs.  While t < W that is the network's own result.  Later the network
on frames t - W + 1 ... t alone would see padding before the first of them, at another place for every t, and nothing
near it could be kept; here what really was before is seen: the result is that of the whole stream's features,
meaned over the window.
"""

from skeleton_lab.nn.continual.nodes import Chain, Framewise, Joined, Node, Window, beside, summed
from skeleton_lab.nn.continual.rules import Parts, multi_scale, node, parts, residual_block
from skeleton_lab.nn.continual.stream import Continual, Stream

__all__ = [
    "Chain", "Continual", "Framewise", "Joined", "Node", "Parts", "Stream", "Window", "beside", "multi_scale", "node",
    "parts", "residual_block", "summed",
]  # fmt: skip
