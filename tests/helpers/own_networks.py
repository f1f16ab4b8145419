"""Small untrained networks for archives of one's own."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

from skeleton_lab import registry
from skeleton_lab.engine.config import options as settings
from skeleton_lab.engine.network import make_net
from skeleton_lab.engine.skeleton import fit


def stgcn(folder: Path, classes: int, skeleton: str | None = "coco17") -> None:
    """An ST-GCN for ``own.npz`` there: ``config.yaml`` as a run leaves it, and ``net.pt``.

    ``skeleton``: None for a Kinect's 25 joints, which the configuration is for.
    """
    room = registry.find("ST-GCN")
    config = yaml.safe_load((room.path / "config/st_gcn/ntu-xsub/train.yaml").read_text())
    for part in ("train", "test"):
        config[f"{part}_feeder_args"] = {"data_path": str(folder / "own.npz"), "split": part}
    config["model_args"] |= {"num_class": classes}
    (folder / "given.yaml").write_text(yaml.safe_dump(config | ({"skeleton": skeleton} if skeleton else {})))
    with registry.room("ST-GCN"):
        options = settings.from_values(room.recipe, {"config": str(folder / "given.yaml")}, room.path)
        fit(options)
        torch.manual_seed(0)
        net = make_net(options).eval()
        for norm in (module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            norm.running_var.uniform_(0.1, 0.3)  # so that clips differ in what is said of them
    settings.save(options, folder / "config.yaml")
    torch.save(net.state_dict(), folder / "net.pt")
