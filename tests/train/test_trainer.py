"""How the best epoch is chosen, and what a GPU alone does, as far as a CPU can show it."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from frostgrid.train import prepare
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.head import start_head
from frostgrid.train.prepare import store_features
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.settings.config import convert
from frostgrid.train.state import Progress
from frostgrid.train.tasks.task import Precision
from frostgrid.train.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def trainer(runs):
    """A trainer of a finished run, before its first update."""
    run = RunFolder(runs["mean-embed"])
    config = run.read_config()
    prepared = prepare.prepare(config, Precision(CPU, None))
    start_head(prepared.task, prepared.config, None)
    return Trainer(prepared.task, prepared.config, run)


def batch_of(trainer):
    order = np.arange(trainer.task.train.n_groups)
    return next(trainer.task.train.batches(order, 8, CPU))


def test_a_float16_run_goes_on_from_one_that_needed_no_scaler(trainer):
    trainer.plain.scaler = torch.amp.GradScaler("cpu")
    trainer.resume({})
    assert trainer.progress.epoch == 3
    assert trainer.plain.scaler.is_enabled()


def test_an_update_that_overflows_moves_neither_weights_nor_the_schedule(trainer):
    step = trainer.plain
    step.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = [p.detach().clone() for p in step.parameters]

    def update(factor):
        step.backward(batch_of(trainer), 1, last=True)
        for parameter in step.parameters:
            parameter.grad *= factor
        return step.update(1e-3)

    assert not update(float("inf"))
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters, strict=True))
    assert step.scaler.get_scale() < 4
    assert update(1.0)
    assert any(not torch.equal(a, b) for a, b in zip(before, step.parameters, strict=True))


def test_resident_rows_equal_those_of_the_file_and_others_are_refused(trainer):
    features = trainer.task.train.features
    rows = np.array([3, 1, 7, 7])
    wanted = features.gather(rows, CPU).values.clone()
    features.make_resident(rows, CPU)
    assert torch.equal(features.gather(rows, CPU).values, wanted)
    assert len(features.resident) == 3
    with pytest.raises(ValueError, match="row 2 is not kept on cpu"):
        features.gather(np.array([1, 2]), CPU)


@pytest.mark.parametrize(("room", "kept"), [(0.9, 0), (2.1, 2)])
def test_both_splits_are_kept_on_a_gpu_or_neither(room, kept, trainer, monkeypatch):
    moved = []
    task = trainer.task
    splits = (task.train, task.val)
    total = sum(split.features.bytes_of(split.n_images) for split in splits)
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(SplitFeatures, "make_resident", lambda self, *a: moved.append(self))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (room * total, 0))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    task.precision = Precision(gpu, None)
    storage, streamed = store_features(task)
    assert len(moved) == kept
    assert ("kept on cuda:0" in storage) == bool(kept)
    assert not streamed
    # A process that does not validate has room for the training split where both would not fit.
    moved.clear()
    room = 2.1 * task.train.features.bytes_of(task.train.n_images) / total
    assert "kept on cuda:0" in store_features(task, validates=False)[0]
    assert moved == [task.train.features]


def test_the_best_epoch_of_captions_is_by_smoothed_cider_then_by_loss(trainer):
    trainer.o = replace(trainer.o, select_by="cider", smoothing=0.5)
    epochs = [(0.0, 3.0), (0.0, 2.5), (0.0, 2.6), (0.4, 2.4), (0.1, 2.3), (0.8, 2.9)]
    chosen = [
        trainer._is_best({"val_cider": cider, "val_loss": loss, "val_accuracy": 0.0})
        for cider, loss in epochs
    ]
    assert chosen == [True, True, False, True, False, True]
    assert trainer.progress.selection == pytest.approx(0.475)


def test_a_state_of_an_older_version_goes_on_by_its_best_score(trainer):
    fields = asdict(Progress(epoch=4, best_epoch=2, best_score=31.5))
    for name in ("selection", "best_selection", "best_loss"):
        del fields[name]
    trainer.state.progress = convert(fields, Progress)
    assert not trainer._is_best({"val_accuracy": 31.5, "val_loss": 0.1})
    metrics = {"val_accuracy": 31.6, "val_loss": 0.1}
    assert trainer._is_best(metrics)
    assert metrics["val_selection"] == 31.6


def test_of_scores_that_are_as_good_as_equal_the_loss_tells(trainer):
    trainer.o = replace(trainer.o, select_by="score", smoothing=0.0)
    epochs = [(2.0e-10, 3.0), (3.7e-10, 3.1), (1.5e-10, 2.9), (0.1, 4.0), (0.1, 3.5), (0.1, 3.6)]
    chosen = [trainer._is_best({"val_accuracy": score, "val_loss": loss}) for score, loss in epochs]
    assert chosen == [True, False, True, True, True, False]
