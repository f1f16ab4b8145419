"""``make test-quick`` takes each network's names and published logits, plain and fused, and what the YAML files say."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUICK = {"test_names_shapes_and_order", "test_eval_logits", "test_published_content", "test_header"}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.originalname not in QUICK:
            item.add_marker(pytest.mark.slow)
