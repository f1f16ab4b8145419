"""All learned parameters in one vector: Adam is one pass, and both heads of an encoder are one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_lab.zero_shot.model.frequency import FrequencyEncoder
from skeleton_lab.zero_shot.model.fused.encoders import heads
from skeleton_lab.zero_shot.model.vae import TRAINED, Encoder


@dataclass
class Linear:
    """A linear map (outer, inner) and where its gradients go; of an encoder both heads, mu above logvar."""

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor
    bias_grad: Tensor


class Packed:
    """The parameters of the four networks become views of ``vector``, in the order that suits the arithmetic.

    The networks work as before.  Only for the published kind, without hidden layers.
    """

    def __init__(self, networks: nn.ModuleDict):
        self.networks = networks
        order = [parameter for name in TRAINED for parameter in _parameters(networks[name])]
        self.vector = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in order]))
        self.vector.grad = torch.zeros_like(self.vector)
        self._ranges: dict[int, slice] = {}
        start = 0
        for parameter in order:
            place = slice(start, start + parameter.numel())
            self._ranges[id(parameter)] = place
            parameter.data = self.vector.data[place].view_as(parameter)
            start = place.stop
        self.linear = {name: self._linear(networks[name]) for name in TRAINED}
        self.optimizer = _adam(self.vector)

    def grad(self, parameter: nn.Parameter) -> Tensor:
        """The view of the gradients that belongs to a parameter."""
        return self.vector.grad[self._ranges[id(parameter)]].view_as(parameter)

    def learns(self, parameter: nn.Parameter) -> bool:
        """Whether training changes it: all but FS-VAE's control values."""
        return id(parameter) in self._ranges

    def _linear(self, network: nn.Module) -> Linear:
        layers = heads(network) if isinstance(network, Encoder) else [network.model[0]]
        weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
        inner = layers[0].in_features
        parts = []
        for source in (self.vector.data, self.vector.grad):
            for group, shape in ((weights, (-1, inner)), (biases, (-1,))):
                first, last = self._ranges[id(group[0])], self._ranges[id(group[-1])]
                parts.append(source[first.start : last.stop].view(shape))
        return Linear(*parts)

    def state(self) -> dict[str, Any]:
        """Adam's state as published files hold it: by the place of a parameter among those of se, sd, te, td."""
        own = self.optimizer.state.get(self.vector, {})
        places = {place: self._ranges[id(p)] for place, p in enumerate(self._published()) if self.learns(p)}
        shapes = [tuple(parameter.shape) for parameter in self._published()]
        state = {
            place: {
                "step": own["step"].detach().cpu().clone(),
                **{key: own[key][part].detach().to("cpu", copy=True).view(shapes[place])
                   for key in ("exp_avg", "exp_avg_sq")},
            }
            for place, part in (places.items() if own else ())
        }  # fmt: skip
        group = {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}
        return {"state": state, "param_groups": [{**group, "fused": None, "params": list(range(len(shapes)))}]}

    def restore(self, content: Mapping[str, Any]) -> None:
        """The reverse of ``state``, also from published files.

        Raises:
            ValueError, KeyError, TypeError: it is of other networks.
        """
        moments = {key: torch.zeros_like(self.vector.data) for key in ("exp_avg", "exp_avg_sq")}
        steps = {float(entry["step"]) for entry in content["state"].values()}
        if len(steps) > 1:
            raise ValueError("parameters have taken different numbers of steps")
        for place, parameter in enumerate(self._published()):
            entry = content["state"].get(place)
            if entry is None or not self.learns(parameter):
                continue
            for key, moment in moments.items():
                if entry[key].shape != parameter.shape:
                    raise ValueError(f"entry {place} has shape {tuple(entry[key].shape)}, not {tuple(parameter.shape)}")
                moment[self._ranges[id(parameter)]] = entry[key].reshape(-1).to(moment.device)
        self.optimizer.state.clear()
        if steps:
            step = torch.tensor(steps.pop(), device=self.vector.device if self.fused else "cpu")
            self.optimizer.state[self.vector] = {"step": step, **moments}

    @property
    def fused(self) -> bool:
        return bool(self.optimizer.param_groups[0].get("fused"))

    def _published(self) -> list[nn.Parameter]:
        return [parameter for name in TRAINED for parameter in self.networks[name].parameters()]


def _parameters(network: nn.Module) -> list[nn.Parameter]:
    """The learned ones: weights beside each other, biases beside each other, then those of the frequencies."""
    if not isinstance(network, Encoder):
        return list(network.model[0].parameters())
    layers = heads(network)
    extra = [network.freq_weights, network.k] if isinstance(network, FrequencyEncoder) else []
    return [*(layer.weight for layer in layers), *(layer.bias for layer in layers), *extra]


def _adam(vector: nn.Parameter) -> torch.optim.Adam:
    """Adam (1e-4) in one fused pass, where this torch has that for the device."""
    try:
        return torch.optim.Adam([vector], lr=1e-4, fused=True)
    except RuntimeError:  # on the CPU before torch 2.4
        return torch.optim.Adam([vector], lr=1e-4)
