"""The smoke test of both rooms: does this image run at all? Reads no file."""

from __future__ import annotations

from collections.abc import Sequence

from skeleton_lab.errors import guarded
from skeleton_lab.utils.cli import Parser, check_sizes
from skeleton_lab.utils.devices import pick_device

BATCH = 4


def smoke_test(variant: str, argv: Sequence[str] | None = None) -> int:
    """The whole program: build the networks, both reconstructions of normal vectors, backward; two lines of output."""
    parser = Parser(description="One forward and backward pass on random input; reads no file.")
    parser.add_argument("--device", default="cuda:0", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    for flag, default, text in (
        ("vis", 256, "skeleton features"),
        ("text", 1024, "text features"),
        ("latent", 32, "z"),
    ):
        parser.add_argument(f"--{flag}-dim", type=int, default=default, help=f"width of {text} (default: %(default)s)")

    def program() -> int:
        options = parser.parse_args(argv)
        import torch  # here: --help needs no PyTorch
        from torch import nn

        from skeleton_lab.nn import fuse
        from skeleton_lab.zero_shot.model.variants import build

        check_sizes(options, "vis_dim", "text_dim", "latent_dim")
        device = pick_device(options.device)
        print(f"Running smoke test on {device}")
        networks = fuse(build(variant, options.vis_dim, options.text_dim, options.latent_dim)).to(device)
        recon = kld = torch.zeros((), device=device)
        for encoder, decoder, width in (("se", "sd", options.vis_dim), ("te", "td", options.text_dim)):
            x = torch.randn(BATCH, width, device=device)
            mu, logvar = networks[encoder](x)
            z = mu + torch.randn(BATCH, 1, device=device) * (0.5 * logvar).exp()
            recon = recon + nn.functional.mse_loss(networks[decoder](z), x)
            kld = kld + 0.5 * (1 + logvar - mu.square() - logvar.exp()).sum() / BATCH  # minus the divergence
        loss = recon + kld
        loss.backward()
        print(f"Smoke test ok. Loss={loss.item():.4f}, recon={recon.item():.4f}, kld={kld.item():.4f}")
        return 0

    return guarded(program)
