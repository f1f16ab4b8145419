"""Short spellings of flags: they mean one thing in every program, or are refused with what they could mean."""

from __future__ import annotations

import pytest
from options_helpers import options

from skeleton_lab.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("program", "CFHSGT")
@pytest.mark.parametrize("spelling", ["--lr", "--learning-rate", "--base"])
def test_lr_is_the_learning_rate_in_every_program(program, spelling):
    """In two of them it once set lr_decay_rate."""
    made, plain = options(program, spelling, "0.33"), options(program)
    assert made.base_lr == 0.33
    assert {n: v for n, v in made.settings().items() if n != "base_lr"} == {
        n: v for n, v in plain.settings().items() if n != "base_lr"
    }


@pytest.mark.parametrize(
    ("program", "option", "candidates"),
    [
        ("C", "--log", ("--log-interval", "--print-log")),
        ("T", "--log", ("--log-interval", "--print-log", "--save-log")),
        ("G", "--start", ("--start-epoch", "--eval-start")),
        ("C", "--weight", ("--weights", "--weight-decay")),
        ("S", "--warmup", ("--warm-up-epoch", "--warmup-lr", "--warmup-prefix")),
        ("C", "--test", ("--test-feeder-args", "--test-window-size", "--test-batch-size")),
    ],
)
def test_what_could_be_another_flag_is_refused_with_all_of_them(program, option, candidates):
    with pytest.raises(UsageError, match="ambiguous") as error:
        options(program, option, "1")
    assert all(candidate in str(error.value) for candidate in candidates)


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [("--batch", "batch_size", 8), ("--warmup", "warm_up_epoch", 5), ("--batchsize", "batch_size", 8),
     ("--lr-decay", "lr_decay_rate", 0.5), ("--start", "start_epoch", 3)],
)  # fmt: skip
def test_what_means_one_thing_works(option, name, value):
    assert getattr(options("C", option, str(value)), name) == value


def test_an_unknown_word_lists_the_flags_that_have_it():
    with pytest.raises(UsageError, match="--lr-decay-rate, --weight-decay"):
        options("C", "--decay", "1")
