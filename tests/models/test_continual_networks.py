"""Networks frame by frame, against the same networks on clips: all of them so far, and windows of long streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.errors import UsageError
from skeleton_lab.nn import fuse, is_fused
from skeleton_lab.nn.continual import Continual
from skeleton_lab.utils.importing import import_class

SMALL = {"base_channels": 12, "num_stages": 4, "inflate_stages": (3,), "down_stages": (2, 4), "num_classes": 5}


def network(name: str, **changes: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Fused, in evaluation, with norms that are not those of a beginning."""
    torch.manual_seed(0)
    given = registry.model(name)
    settings = yaml.safe_load(given.path.read_text())
    arguments = {**settings["model_args"], **changes}
    net = import_class(given.network or settings["model"])(**arguments)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
        elif isinstance(module, nn.Linear):
            module.weight.data.normal_(0, 0.3)
    return fuse(net).eval().requires_grad_(False), arguments


@pytest.fixture
def small() -> Iterator[tuple[nn.Module, Continual, Tensor]]:
    """A small ST-GCN++, the same over windows of 12 frames, and a stream of 80 frames."""
    with registry.room("PYSKL"):
        net, arguments = network("stgcnpp", **SMALL)
        (x,) = counting.example(arguments, 2, 80)
        yield net, Continual(net, 12), x


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stgcn", "stgcn-twostream", "stgcnpp", "stgcnpp-coco", "msg3d", "ctrgcn-baseline"])
def test_after_every_frame_the_logits_are_those_of_the_clip_so_far(name: str) -> None:
    with registry.room(registry.model(name).room):
        net, arguments = network(name)
        continual = Continual(net, 100)
    assert is_fused(net)  # what was given stays as it was
    x, *_ = counting.example(arguments, 1, 19, single_person=0)
    stream, t = continual.start(), 0
    for n in (1, 1, 3, 14):
        continual.push(stream, x[:, :, t : t + n])
        t += n
        if n != 3:
            expected = net(x[:, :, :t].contiguous())
            assert expected.std() > 1e-3
            torch.testing.assert_close(continual.logits(stream), expected, rtol=1e-4, atol=1e-4)


def features(net: nn.Module, x: Tensor) -> Tensor:
    """(N, C, T') of a small ST-GCN++, by its own backbone on the whole clip."""
    return net.backbone(x).mean((1, 4))


def test_a_window_of_a_long_stream_is_the_mean_of_the_stream_s_own_features(small) -> None:
    net, continual, x = small
    stream = continual.start()
    for t in range(80):
        continual.push(stream, x[:, :, t : t + 1])
        if t in (10, 11, 12, 30, 79):
            latest = features(net, x[:, :, : t + 1].contiguous())[..., -3:]  # 12 frames, of which every fourth stays
            torch.testing.assert_close(continual.logits(stream), net.cls_head.fc_cls(latest.mean(2)))
    alone = net(x[:, :, -12:].contiguous())
    assert (continual.logits(stream) - alone).abs().max() > 1e-3  # which sees padding where frames were


def test_who_waits_gets_what_no_later_frame_changes(small) -> None:
    net, continual, x = small
    assert (continual.reach, continual.stride) == (4 + 4 + 2 * 4 + 2 * 4, 4)
    whole, stream = features(net, x), continual.start()
    assert continual.logits(stream) is None and continual.logits(stream, "wait") is None
    for t in range(60):
        continual.push(stream, x[:, :, t : t + 1])
        final = (t - continual.reach) // 4 + 1
        told = continual.logits(stream, "wait")
        assert (told is None) == (final < 1)
        if told is not None and t % 7 == 0:
            expected = net.cls_head.fc_cls(whole[..., max(0, final - 3) : final].mean(2))
            torch.testing.assert_close(told, expected)


def held(state: Any) -> int:
    """Bytes of all tensors in a state, by their storage."""
    if isinstance(state, Tensor):
        return state.untyped_storage().nbytes()
    return sum(map(held, state)) if isinstance(state, (list, tuple)) else 0


def test_what_is_remembered_does_not_grow(small) -> None:
    _, continual, x = small
    stream, sizes = continual.start(), []
    for t in range(80):
        continual.push(stream, x[:, :, t % 80 : t % 80 + 1])
        sizes.append(held(stream.trunk) + sum(each.untyped_storage().nbytes() for each in stream.ring))
    assert max(sizes[40:60]) == max(sizes[60:]) > 0
    assert len(stream.ring) == 3


@pytest.mark.parametrize("name", ["ctrgcn", "protogcn", "degcn", "hypergcn", "freqmixformer", "skateformer"])
def test_networks_that_look_at_all_frames_at_once_are_refused(name: str) -> None:
    with registry.room(registry.model(name).room):
        net, _ = network(name)
        with pytest.raises(UsageError, match="all frames at once"):
            Continual(net, 64)


def test_a_window_has_a_frame(small) -> None:
    net, _, _ = small
    with pytest.raises(UsageError, match="at least 1"):
        Continual(net, 0)
