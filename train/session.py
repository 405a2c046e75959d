"""One call of ``train-head``: what it does, in order, and what it says."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from shlex import quote

import click
import torch

from ..console import stop_on_signal
from ..devices import amp_dtype, describe_device
from ..errors import InputError
from ..models.additive_attention import set_kernels
from ..process import keep_freed_memory
from .checkpoint import load_weights, read_tensors
from .config import RunConfig
from .control import BLIND, find_control, gain_over
from .loop import Trainer, Unwatched
from .parallel import Alone
from .prepare import Prepared, Start, prepare
from .run_folder import RunFolder
from .task import Precision
from .terminal import Terminal


def train(
    config: RunConfig,
    run: RunFolder,
    device: torch.device,
    start: Start | None,
    ranks: Alone,
    control: bool = True,
) -> None:
    """Train a run and tell of it; without a ``start``, go on with it.

    With ``control``, a head that sees is compared with one that does not.
    """
    say: Callable[[str], object] = click.echo if ranks.is_first else lambda text: None
    set_kernels(config.kernels)  # type: ignore[arg-type]
    precision = Precision(device, amp_dtype(device, config.amp))
    half = "float32" if precision.amp is None else str(precision.amp).removeprefix("torch.")
    processes = f"{ranks.n} processes, each on " if ranks.n > 1 else ""
    say(f"data       {config.data}")
    say(f"device     {processes}{describe_device(device)}, {half}")
    prepared = ranks.together(lambda: prepare(config, precision, start))
    for name, fact in prepared.facts:
        say(f"{name:10} {fact}")
    say(f"run        {run.path}")
    # What rank 0 found, how far memory goes for one thing, holds for all.
    config = RunConfig.of_fields(ranks.first_does(lambda: asdict(prepared.config)))
    ranks.check_same(prepared.task.train.checksum)
    trainer = Trainer(prepared.task, config, run, ranks)
    if start is None:
        ranks.together(lambda: check_vocabulary(run, prepared))
        trainer.resume()
        ranks.first_does(lambda: run.write_config(config))
    else:
        ranks.first_does(lambda: run.create(config, prepared.vocabulary))
    terminal = Terminal(run.path, prepared.task) if ranks.is_first else Unwatched()
    keep_freed_memory()
    with stop_on_signal(insist=ranks.n == 1) as stop:
        # When a process dies, its launcher soon ends the others. Closing takes a while, and only
        # after it what went wrong is told.
        try:
            finished = trainer.fit(terminal, stop)
        finally:
            terminal.close()
    if not finished:
        if ranks.is_first:
            click.echo(f"Stopped; go on with: train-head --resume {quote(str(run.path))}", err=True)
        sys.exit(1)
    ranks.first_does(lambda: report(trainer, run, control))


def check_vocabulary(run: RunFolder, prepared: Prepared) -> None:
    """Raise ``InputError`` if the data have changed since the run began."""
    if run.read_vocabulary() != prepared.vocabulary:
        raise InputError(
            f"{run.path}: the data in {prepared.config.data} give other words or answers than when "
            "the run began; put the old files back, or train a new run."
        )


def report(trainer: Trainer, run: RunFolder, control: bool) -> None:
    """The last lines: the best epoch, and what the image is worth to the head."""
    task, p = trainer.task, trainer.progress
    load_weights(task.head, read_tensors(run.best)[0], run.best)
    shuffled = task.shuffled_score()
    run.write_summary(p.best_epoch, p.best_score, shuffled, task.head)
    for doubt in doubts(trainer):
        click.echo(f"note       {doubt}")
    best, without = (task.score_format.format(score) for score in (p.best_score, shuffled))
    click.echo(f"best       {best} in epoch {p.best_epoch}")
    click.echo(f"images     {without} with the validation images exchanged for one another")
    if control and task.val.features is not None:
        report_gain(trainer, run)
    click.echo(f"wrote      {run.best}, {run.predictions}")
    click.echo(f"score it   score {quote(str(run.predictions))}")


def doubts(trainer: Trainer) -> list[str]:
    """What speaks against the best epoch being the best that the run could have had."""
    p, o = trainer.progress, trainer.o
    if p.best_epoch == o.epochs:
        return ["the best epoch is the last: more --epochs may do better"]
    if p.epoch <= o.epochs:
        return [
            f"stopped {p.epoch - 1 - p.best_epoch} epochs after the best, {o.epochs - p.epoch + 1} "
            "before the end, with the learning rate not yet down; --patience 0 goes on"
        ]
    return []


def report_gain(trainer: Trainer, run: RunFolder) -> None:
    """Say, and write down, what seeing is worth beside what a head reaches that sees nothing."""
    task = trainer.config.task
    control = find_control(trainer.config, trainer.task.precision, click.echo)
    gain = gain_over(control, run, task)
    run.add_to_summary(
        control_score=gain.control,
        gain_over_blind=gain.difference,
        gain_interval=list(gain.interval),
        control_seconds=control.seconds,
    )
    what, shape = {
        "vqa": (f"{BLIND} under the same recipe", "{:.2f} %"),
        "caption": ("CIDEr-D of the one caption that fits all images best", "{:.4f}"),
    }[task]
    low, high = (shape.replace(":", ":+").format(value) for value in gain.interval)
    click.echo(
        f"blind      {shape.format(gain.control)}, {what} (made once, in {control.seconds:.0f} s)"
    )
    difference = shape.replace(":", ":+").format(gain.difference)
    click.echo(f"gain       {difference} over blind, 95 % interval {low} to {high}")
