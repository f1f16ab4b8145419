"""What graphics cards do, by their makers' data sheets, or by figures that a user gives."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skeleton_lab.errors import UsageError, nearest

TURING = "NVIDIA Turing GPU Architecture, whitepaper (2018), appendix A"
AMPERE = "NVIDIA Ampere GA102 GPU Architecture, whitepaper v2 (2021), appendix A"
ADA = "NVIDIA Ada GPU Architecture, whitepaper v2 (2023), appendix A"
GEFORCE = "https://www.nvidia.com/en-us/geforce/graphics-cards/compare/; rate: 2 x cores x boost clock"
MOST = 1e6  # of any figure that a user gives


@dataclass(frozen=True)
class Card:
    """A card's sheet.

    Attributes:
        memory: GB as sold, which are GiB. bandwidth: of that memory, GB/s.
        fp32: TFLOP/s outside tensor cores. half: TFLOP/s of tensor cores, dense, float16 or bfloat16 with float32
            sums; 0 where there are none. bf16: whether these take bfloat16.
        source: where the figures stand.
    """

    name: str
    memory: float
    bandwidth: float
    fp32: float
    half: float
    bf16: bool
    source: str

    @property
    def budget(self) -> float:
        """GiB that a card which also draws a screen leaves to one process: 7 of 8."""
        return self.memory * 7 / 8


CARDS = (
    Card("GTX 1080 Ti", 11, 484, 11.3, 0, False, GEFORCE),
    Card("RTX 2080 Ti", 11, 616, 13.4, 53.8, False, TURING),
    Card("RTX 3050", 8, 224, 9.1, 18.2, True, GEFORCE),
    Card("RTX 3060", 12, 360, 12.7, 25.5, True, GEFORCE),
    Card("RTX 3070", 8, 448, 20.3, 40.6, True, AMPERE),
    Card("RTX 3090", 24, 936, 35.6, 71.0, True, AMPERE),
    Card("RTX 4060", 8, 272, 15.1, 30.2, True, GEFORCE),
    Card("RTX 4060 Ti", 8, 288, 22.1, 44.1, True, GEFORCE),
    Card("RTX 4070", 12, 504, 29.1, 58.3, True, GEFORCE),
    Card("RTX 4090", 24, 1008, 82.6, 165.2, True, ADA),
    Card("T4", 16, 320, 8.1, 65.0, False, "NVIDIA T4 Tensor Core GPU, data sheet (2019)"),
    Card("A100", 40, 1555, 19.5, 312.0, True, "NVIDIA A100 Tensor Core GPU, data sheet (40 GB)"),
    Card("A100 80GB", 80, 2039, 19.5, 312.0, True, "NVIDIA A100 Tensor Core GPU, data sheet (80 GB SXM)"),
    Card("H100", 80, 3350, 67.0, 989.0, True, "NVIDIA H100 Tensor Core GPU, data sheet (SXM)"),
    Card("H200", 141, 4800, 67.0, 989.0, True, "NVIDIA H200 Tensor Core GPU, data sheet (SXM)"),
)
_NUMBER = r"(\d+(?:\.\d+)?)"
_OWN = re.compile(rf"{_NUMBER}(?:GB|GiB),{_NUMBER}GB/s,{_NUMBER}TFLOPS?(?:/s)?", re.IGNORECASE)


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|[^a-z0-9]", "", name.lower())


def find(text: str) -> Card:
    """A card of the table, or one of the figures that ``text`` gives.

    Raises:
        UsageError: neither; it names the nearest card.
    """
    for card in CARDS:
        if _plain(card.name) == _plain(text):
            return card
    own = _OWN.fullmatch("".join(text.split()))
    if not own:
        names = {_plain(card.name): card.name for card in CARDS}
        hint = nearest(_plain(text), names)
        for plain, name in names.items():
            hint = hint.replace(f"'{plain}'", f"'{name}'")
        raise UsageError(
            f"--card {text}: no such card.{hint} Known are {', '.join(names.values())}; "
            "of any other give memory, bandwidth and float32 rate: --card 8GB,272GB/s,15TFLOP/s"
        )
    memory, bandwidth, fp32 = map(float, own.groups())
    if not all(0 < value <= MOST for value in (memory, bandwidth, fp32)):
        raise UsageError(f"--card {text}: figures must be above 0 and at most {MOST:,.0f}")
    return Card(f"a card of {memory:g} GB, {bandwidth:g} GB/s, {fp32:g} TFLOP/s", memory, bandwidth, fp32, 0, False,
                "as given")  # fmt: skip
