"""Where things are."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
PARITY = TESTS / "parity"  # recorded outputs of the published programs
