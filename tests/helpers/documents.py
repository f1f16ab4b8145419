"""Every command of the users' documents, word by word: ``documents.tsv`` with its name and the folder it is run in."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    id: str
    command: str
    folder: str


with open(Path(__file__).with_suffix(".tsv"), newline="") as file:
    ROWS = {line[0]: Row(*line) for line in list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]}

NOT_RUN = {
    "st-venv": "pip install without a requirement is a mistake in the guide",
    "lab-smoke-gpu": "needs a GPU",
}
