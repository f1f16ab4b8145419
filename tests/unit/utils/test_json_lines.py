"""Files of JSON lines: what is damaged costs its own line alone."""

from __future__ import annotations

import json

from skeleton_lab.inference import batch
from skeleton_lab.utils import json_lines


def test_a_damaged_line_costs_itself_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [b'{"a": 1}', b"[" * 10**5, b"\xff\xfe", b"", b"[3]", b'{"a": 2}', b'{"a": ']
    path.write_bytes(b"\n".join(lines))
    assert json_lines.read(path) == ([{"a": 1}, {"a": 2}], 3)


def test_a_name_may_hold_other_ends_of_lines(tmp_path):
    entry = {"name": "walk\u2028run\x85.npz", "state": "done"}
    path = tmp_path / "journal"
    path.write_text(json.dumps(entry, ensure_ascii=False) + "\n", "utf-8")
    assert list(batch._lines(path)) == [entry]
