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
from ..models.layers.additive_attention import set_kernels
from ..process import keep_freed_memory
from .checkpoint import load_weights, read_tensors
from .config import RunConfig
from .parallel import Alone
from .prepare import Prepared, Start, prepare
from .progress import Terminal
from .run_folder import RunFolder
from .tasks.task import Precision
from .trainer import Trainer, Unwatched


def train(
    config: RunConfig, run: RunFolder, device: torch.device, start: Start | None, ranks: Alone
) -> None:
    """Train a run and tell of it; without a ``start``, go on with it."""
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
    ranks.first_does(lambda: report(trainer, run))


def check_vocabulary(run: RunFolder, prepared: Prepared) -> None:
    """Raise ``InputError`` if the data have changed since the run began."""
    if run.read_vocabulary() != prepared.vocabulary:
        raise InputError(
            f"{run.path}: the data in {prepared.config.data} give other words or answers than when "
            "the run began; put the old files back, or train a new run."
        )


def report(trainer: Trainer, run: RunFolder) -> None:
    """The last lines: the best epoch, and what the image is worth to the head."""
    task, p = trainer.task, trainer.progress
    load_weights(task.head, read_tensors(run.best)[0], run.best)
    shuffled = task.shuffled_score()
    run.write_summary(p.best_epoch, p.best_score, shuffled, task.head)
    best, without = (task.score_format.format(score) for score in (p.best_score, shuffled))
    click.echo(f"best       {best} in epoch {p.best_epoch}")
    click.echo(f"images     {without} with the validation images exchanged for one another")
    click.echo(f"wrote      {run.best}, {run.predictions}")
    click.echo(f"score it   score {quote(str(run.predictions))}")
