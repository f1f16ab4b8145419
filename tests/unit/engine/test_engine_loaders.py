"""Batches: the same for any number of processes, unpadded evaluation, subjects held out."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest
from parity.kaggle_sample import make_kaggle_arrays

from skeleton_lab import registry
from skeleton_lab.engine.dataloader import BatchPlan, Seeded, split_by_subject


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_every_training_batch(world):
    alone = list(BatchPlan(23, 5, seed=3, shuffle=True))
    plans = [BatchPlan(23, 5, seed=3, shuffle=True, rank=r, world=world) for r in range(world)]
    together = [[i for part in parts for i in part] for parts in zip(*plans)]
    assert together == [list(batch) for batch in alone] and len(alone) == 4
    assert len({i for batch in alone for i in batch}) == 20


def test_epochs_differ_and_can_be_entered_anywhere():
    plan = BatchPlan(23, 5, seed=3, shuffle=True)
    first = list(plan)
    plan.epoch = 1
    second = list(plan)
    assert first != second and all(batch.epoch == 1 for batch in second)
    plan.start = 2
    assert list(plan) == second[2:]


@pytest.mark.parametrize("samples", [1, 2, 9, 10])
def test_evaluation_takes_every_sample_once(samples):
    plans = [BatchPlan(samples, 4, shuffle=False, rank=r, world=2) for r in range(2)]
    assert sorted(i for plan in plans for batch in plan for i in batch) == list(range(samples))
    assert all(len(list(plan)) == len(plan) for plan in plans)


def test_a_plain_data_set_draws_by_sample_and_leaves_the_generators_alone():
    class Noise:
        def __getitem__(self, i):
            return np.random.rand()

    from skeleton_lab.data.feeders.base import Batch

    data = Seeded(Noise(), seed=1)
    before = np.random.get_state()[1].copy()
    a = data.__getitems__(Batch([3, 4], 2))
    assert np.array_equal(before, np.random.get_state()[1])
    assert a[1:] == data.__getitems__(Batch([4], 2)) and a != data.__getitems__(Batch([3, 4], 3))


def test_subjects_are_held_out(tmp_path):
    arrays = make_kaggle_arrays()
    count = len(arrays["y_train"])
    names = np.array([f"S001C001P{1 + i % 4:03d}R001A001" for i in range(count)])
    path = tmp_path / "named.npz"
    np.savez(path, **arrays, name_train=names)
    arguments = {"data_path": str(path), "window_size": 8}
    with registry.room("CTR-GCN"):
        options = Namespace(
            feeder="feeders.feeder_ntu.Feeder", train_feeder_args={**arguments, "split": "train", "random_rot": True},
            test_feeder_args={**arguments, "split": "test"}, val_share=0.25, seed=1, debug=False, model="",
        )  # fmt: skip
        from skeleton_lab.engine.dataloader import make_feeder

        train = make_feeder(options, options.train_feeder_args)
        whole, test = len(train), make_feeder(options, options.test_feeder_args)
        validation = split_by_subject(options, train)
    subjects = [set(np.asarray(feeder.clips.subjects).tolist()) for feeder in (train, validation)]
    assert len(subjects[0]) == 3 and len(subjects[1]) == 1 and not subjects[0] & subjects[1]
    assert len(train) + len(validation) == whole
    assert [type(s) for s in validation.steps] == [type(s) for s in test.steps], "no augmentation"
