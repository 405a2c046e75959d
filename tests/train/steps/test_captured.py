"""The captured step does what the plain one does, of every head; where it cannot, plain goes on."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.devices import use_exact_float32
from frostgrid.distributed import Ranks
from frostgrid.models.names import TASKS
from frostgrid.models.registry import HEADS
from frostgrid.train import prepare
from frostgrid.train.cli import train_head
from frostgrid.train.head import start_head
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.steps import captured, choice
from frostgrid.train.steps.captured import CapturedStep
from frostgrid.train.steps.choice import KeptState, choose_step, without_chance
from frostgrid.train.steps.plain import PlainStep
from frostgrid.train.tasks.task import Precision
from reference.runs import lines, run_head, same_state

CPU = torch.device("cpu")
GPU = pytest.param(
    torch.device("cuda", 0),
    marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
)
SIZES = {"embedding": 8, "hidden": 16, "attention": 8, "dropout": 0.2}


@pytest.fixture
def step_of(runs):
    """Makes the plain step of a small head on the tiny set, with its features in memory."""

    def make(name, device=CPU, **optimisation):
        task = TASKS[name]
        config = RunFolder(runs["san" if task == "vqa" else "show-attend-tell"]).read_config()
        sizes = {**SIZES, "classifier": 16} if task == "vqa" else {**SIZES, "sampling": 0.5}
        features = [] if HEADS[name].features == "none" else config.features
        o = replace(config.optimisation, batch_size=8, **optimisation)
        config = replace(config, head=name, head_settings=sizes, features=features, step="captured")
        config = replace(config, optimisation=o)
        prepared = prepare.prepare(config, Precision(device, None))
        start_head(prepared.task, prepared.config, None)
        return PlainStep(prepared.task, prepared.config.optimisation, Ranks())

    return make


class Replay:
    """A graph's stand-in: it computes again, from memory of its own."""

    def __init__(self, function, given):
        self.function, self.given = function, given.clone()

    def __call__(self, given):
        self.given.copy_(given)
        return self.function(self.given)


class Recorder:
    """What a GPU has, without one; ``limit``: graphs that it can make."""

    def __init__(self, limit=100):
        self.limit, self.graphs = limit, 0

    def warm_up(self, function, given):
        return function(given)

    def record(self, function, given):
        if self.graphs == self.limit:
            raise RuntimeError("operation not permitted when stream is capturing\nCompile with …")
        self.graphs += 1
        return Replay(function, given)


def losses(step, plain, n_epochs=4):
    """The summed losses of an epoch's batches, again and again, at a changing rate."""
    plain.task.head.train()
    order = np.random.default_rng(0).permutation(plain.task.train.n_groups)
    found = []
    for epoch in range(n_epochs):
        for batch in step.batches(order, 0):
            loss = step.backward(batch, 1, last=True)
            assert step.update(1e-2 / (1 + epoch))
            found.append(float(loss))
    return found


@pytest.fixture(params=[CPU, GPU], ids=str)
def device(request):
    """A CPU, or a GPU that computes float32 as such."""
    if request.param.type == "cuda":
        use_exact_float32()
    return request.param


@pytest.mark.parametrize("name", HEADS)
def test_losses_of_twenty_updates_equal_the_plain_steps(name, device, step_of):
    plain = step_of(name, device, texts_per_image=0, clip=0.5, attention_penalty=1.0)
    samples = plain.task.place_samples(8)
    recorder = Recorder() if device == CPU else captured.Recorder(device)
    kept = KeptState(plain)
    with without_chance(plain.task.head):
        wanted = losses(plain, plain)
        kept.restore()
        step = CapturedStep(plain, samples, pytest.fail, recorder)
        found = losses(step, plain)
    assert len(wanted) == 20
    np.testing.assert_allclose(found, wanted, rtol=3e-5)  # sums round otherwise, and it adds up
    assert wanted[-1] < wanted[0]
    assert 1 <= len(step.graphs) <= len(step.seen) <= 3  # every shape is computed, then recorded


def test_commonest_answers_too(step_of):
    plain = step_of("mean-embed", loss="commonest", texts_per_image=1)
    kept = KeptState(plain)
    with without_chance(plain.task.head):
        wanted = losses(plain, plain, 1)
        kept.restore()
        step = CapturedStep(plain, plain.task.place_samples(8), print, None)
        np.testing.assert_allclose(losses(step, plain, 1), wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "show-attend-tell"])
def test_the_validation_split_on_the_device_gives_the_same_metrics(name, step_of):
    task = step_of(name).task
    task.head.eval()
    wanted = task.evaluate()
    predicted = getattr(task, "predicted", None)
    task.place_validation()
    assert task.placed_val is not None
    assert task.evaluate() == pytest.approx(wanted, rel=1e-5)
    assert np.array_equal(getattr(task, "predicted", None), predicted)
    assert task.shuffled_metrics()


def state_of(plain):
    weights = [value.clone() for value in plain.task.head.state_dict().values()]
    return [*weights, torch.get_rng_state()]


@pytest.mark.parametrize("name", ["san", "up-down"])
def test_choosing_leaves_nothing_behind(name, device, step_of):
    plain = step_of(name, device)
    losses(plain, plain, 1)  # so that there are moments
    before, said = state_of(plain), []
    moments = choice.copy_moments(plain.optimizer.state)
    step = choose_step("captured", plain, said.append)
    assert isinstance(step, CapturedStep)
    how = "of fixed shapes, computed as they come" if device == CPU else "captured"
    assert said == [f"{how}; the first ones equal the plain step's"]
    assert all(torch.equal(a, b) for a, b in zip(before, state_of(plain), strict=True))
    for parameter, own in plain.optimizer.state.items():
        assert all(torch.equal(own[key], moments[parameter][key]) for key in own)


def test_a_step_that_differs_or_fails_is_not_taken(step_of, monkeypatch):
    plain = step_of("mean-embed")
    right = plain.task.padded_loss

    def failing(batch):
        raise RuntimeError("no such kernel\nand much advice")

    before = state_of(plain)
    for wrong, reason in (
        (lambda batch: 1.01 * right(batch), "plain, as the captured step's loss is"),
        (lambda batch: right(batch).detach() + 0.5 * right(batch), "captured step's loss is"),
        (failing, "plain, as the captured step failed (RuntimeError: no such kernel)"),
    ):
        said = []
        monkeypatch.setattr(plain.task, "padded_loss", wrong)
        assert choose_step("captured", plain, said.append) is plain
        assert reason in said[0]
        assert all(torch.equal(a, b) for a, b in zip(before, state_of(plain), strict=True))
        assert not plain.optimizer.state


def test_what_cannot_be_captured_goes_on_as_it_comes(step_of):
    plain = step_of("question-only")
    kept, said = KeptState(plain), []
    with without_chance(plain.task.head):
        wanted = losses(plain, plain)
        kept.restore()
        step = CapturedStep(plain, plain.task.place_samples(8), said.append, Recorder(limit=0))
        np.testing.assert_allclose(losses(step, plain), wanted, rtol=1e-5)
    assert said == [
        "shapes that are yet to come are not captured (operation not permitted when stream is "
        "capturing)"
    ]


def test_when_nothing_is_captured(step_of):
    plain = step_of("mean-embed")
    assert choose_step("auto", plain, pytest.fail) is plain  # on a CPU, without a word
    assert choose_step("plain", plain, pytest.fail) is plain
    plain.ranks = Ranks(0, 2)
    assert choice.why_plain(plain) == "as several processes share each batch"
    plain.ranks, plain.o = Ranks(), replace(plain.o, accumulate=2)
    assert choice.why_plain(plain) == "as 2 batches make an update"
    plain.o = replace(plain.o, accumulate=1)
    plain.task.train.features.resident = None
    assert choice.why_plain(plain) == "as the features are not kept on cpu"
    plain.scaler = torch.amp.GradScaler("cpu")
    assert "float16" in choice.why_plain(plain)

    class Other(type(plain.task)):
        def loss(self, batch):
            return super().loss(batch) ** 2

    plain.task.__class__ = Other  # whose padded loss is that of another task
    assert choice.why_plain(plain) == "as the loss of Other has no padded form"


def test_a_run_by_captured_steps_stops_and_resumes(tiny_set, tmp_path, monkeypatch):
    more = ("--epochs", "2", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")
    more = (*more, "--step", "captured")
    output = run_head("show-attend-tell", tiny_set, tmp_path / "whole", *more)
    assert "step       of fixed shapes" in output
    assert "kept on cpu" in output
    update, left = CapturedStep.update, 4 + 5 + 3  # to compare, of the first epoch, more

    def stopped(self, rate):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, rate)

    monkeypatch.setattr(CapturedStep, "update", stopped)
    run_head("show-attend-tell", tiny_set, tmp_path / "run", *more, code=1)
    assert len(lines(tmp_path / "run")) == 1
    again = ["--resume", str(tmp_path / "run"), "--device", "cpu"]
    assert CliRunner().invoke(train_head, again).exit_code == 0
    same_state(tmp_path / "whole", tmp_path / "run")
    assert RunFolder(tmp_path / "run").read_config().step == "captured"
