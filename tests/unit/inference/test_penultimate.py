"""The vector in front of a network's classifier, in every supervised room."""

from __future__ import annotations

import pytest
import torch
import yaml
from torch import nn

from skeleton_lab import registry
from skeleton_lab.cost import counting
from skeleton_lab.engine.losses import logits_of
from skeleton_lab.errors import UsageError
from skeleton_lab.inference.penultimate import WithFeatures
from skeleton_lab.utils.importing import import_class


class Pooling(nn.Module):
    """The classifier runs on every person; logits are the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 7), nn.Conv2d(7, 5, 1)

    def forward(self, x):
        h = torch.relu(self.first(x.flatten(0, 1)))
        return self.head(h[..., None, None]).view(len(x), 2, 5).mean(1)


class Sum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(4, 5)

    def forward(self, x):
        return self.a(x) + self.b(x[:, :4]), "more"


def test_features_are_the_input_of_the_last_layer() -> None:
    torch.manual_seed(0)
    net, x = Pooling(), torch.randn(3, 2, 6)
    found = WithFeatures(net)(x)
    logits, vectors = found[:, :5], found[:, 5:]
    torch.testing.assert_close(logits, net(x))
    torch.testing.assert_close(vectors, torch.relu(net.first(x)).mean(1))

    net, x = Sum(), torch.randn(3, 6)
    torch.testing.assert_close(WithFeatures(net)(x)[:, 5:], torch.cat([x, x[:, :4]], 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "config", "width"),
    [
        ("CTR-GCN", "config/nturgbd-cross-subject/default.yaml", 256),
        ("MS-G3D", "config/nturgbd-cross-subject/train_joint_kaggle.yaml", 384),
        ("FreqMixFormer", "config/nturgbd-cross-subject/joint.yaml", None),
        ("SkateFormer", "config/train/ntu_cs/SkateFormer_j_tiny.yaml", None),
        ("Hyper-GCN", "config/base/nturgbd-cross-subject/hyper_joint.yaml", None),
        ("ST-GCN", "config/st_gcn/ntu-xsub/train.yaml", 256),
        ("ST-GCN", "config/st_gcn.twostream/ntu-xsub/train.yaml", 512),
    ],
)
def test_every_supervised_room_has_features(room: str, config: str, width: int | None) -> None:
    settings = yaml.safe_load((registry.find(room).path / config).read_text())
    args = settings["model_args"] | ({"frame_size": 16} if room == "FreqMixFormer" else {})
    torch.manual_seed(0)
    with registry.room(room), torch.no_grad():
        net = import_class(settings["model"])(**args).eval()
        classifiers = [m for m in net.modules() if isinstance(m, (nn.Linear, nn.Conv2d)) and m.weight.shape[0] == 60]
        for module in classifiers:
            nn.init.normal_(module.weight)
        inputs = counting.example(args, 3, 16, single_person=0.5)
        logits = logits_of(net(*inputs))
        found = WithFeatures(net)(*inputs)
    torch.testing.assert_close(found[:, :60], logits)
    vectors = found[:, 60:]
    assert width in (None, vectors.shape[1])
    weight = torch.cat([module.weight.detach().flatten(1) for module in classifiers[-2 if width == 512 else -1 :]], 1)
    bias = sum(module.bias.detach() for module in classifiers[-2 if width == 512 else -1 :])
    torch.testing.assert_close(vectors @ weight.T + bias, logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


def test_logits_that_come_from_elsewhere_are_told() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    with pytest.raises(UsageError, match="not the output of a fully connected layer"):
        WithFeatures(net)(torch.randn(2, 4))
