"""One call of ``train-head``: what it does, in order, and what it says."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote

import torch

from ..console import stop_on_signal
from ..datasets.catalog import open_dataset
from ..devices import amp_dtype, describe_device, use_exact_float32
from ..distributed import Ranks
from ..errors import InputError
from ..models.layers.additive_attention import set_kernels
from ..models.layers.attention_timing import settle_attention
from ..models.registry import HEADS
from ..process import keep_freed_memory
from .head import load_word_vectors, start_head
from .plan import Plan
from .prepare import Prepared, prepare
from .progress import Terminal, Watcher, print_now
from .report import report
from .run_folder import RunFolder
from .settings.config import RunConfig
from .steps.parallel import check_same_data
from .tasks.task import Precision
from .trainer import Trainer


def train(plan: Plan, device: torch.device, ranks: Ranks) -> None:
    """Begin a run, or go on with it, and say how it goes."""
    run = RunFolder(Path(plan.folder))
    try:
        if plan.resume:
            ranks.first_does(run.take_lock)
        prepared = prepare_all(plan, device, ranks)
        trainer = make_trainer(plan, prepared, run, ranks)
        if not fit(trainer):
            if ranks.is_first:
                go_on = f"Stopped; go on with: train-head --resume {quote(str(run.path))}"
                print(go_on, file=sys.stderr, flush=True)
            sys.exit(1)
        ranks.first_does(lambda: report(trainer, run, plan.control))
    finally:
        run.release_lock()


def make_trainer(plan: Plan, prepared: Prepared, run: RunFolder, ranks: Ranks) -> Trainer:
    """The trainer at the run's beginning, or where it was left; the run folder is ready for it."""
    # What rank 0 found, how far memory goes for one thing, holds for all.
    config = RunConfig.of_fields(ranks.first_does(lambda: asdict(prepared.config)))
    check_same_data(prepared.task.train, ranks)
    trainer = Trainer(prepared.task, config, run, ranks)

    def say(name: str, fact: str) -> None:
        if ranks.is_first:
            print_now(f"{name:10} {fact}")

    if plan.resume:
        ranks.together(lambda: check_vocabulary(run, prepared))
        for note in trainer.resume(plan.config.digests, plan.accept_changed_data):
            say("resumed", note)
        ranks.first_does(lambda: run.write_config(config))
    else:
        ranks.first_does(run.take_lock)
        ranks.first_does(lambda: run.create(config, prepared.vocabulary))
    trainer.choose_step(partial(say, "step"))
    return trainer


def fit(trainer: Trainer) -> bool:
    """Train under signals that stop it; returns whether it was finished."""
    ranks, o = trainer.ranks, trainer.o
    watcher = Watcher()
    if ranks.is_first:
        watcher = Terminal(trainer.run.path, trainer.task, o.epochs)
    keep_freed_memory()
    with ranks.outliving_launcher(), stop_on_signal(insist=ranks.n == 1) as stop:
        # When a process dies, its launcher soon ends the others. Closing takes a while, and only
        # after it what went wrong is told.
        try:
            return trainer.fit(watcher, stop)
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"The GPU has too little memory for batches of {o.batch_size} ({error}); train "
                "again with a smaller --batch-size, and as many times --accumulate."
            ) from error
        finally:
            watcher.close()


def prepare_all(plan: Plan, device: torch.device, ranks: Ranks) -> Prepared:
    """Prepare the run's task in every process, and say what was found."""
    config = plan.config
    say: Callable[[str], None] = print_now if ranks.is_first else lambda text: None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if config.amp == "off":
        use_exact_float32()
    set_kernels(config.kernels)
    precision = Precision(device, amp_dtype(device, config.amp))
    half = "float32" if precision.amp is None else str(precision.amp).removeprefix("torch.")
    processes = f"{ranks.n} processes, each on " if ranks.n > 1 else ""
    say(f"data       {config.data}")
    for note in open_dataset(config.data).notes():
        say(f"file       {note}")
    say(f"device     {processes}{describe_device(device)}, {half}")
    if device.type == "cuda" and config.kernels == "auto" and HEADS[config.head].has_attention:
        say(f"kernels    {settle_kernels(config, precision)}")
    prepared = ranks.together(lambda: prepare(config, precision, plan.adaptive, ranks.is_first))
    if not plan.resume:
        ranks.together(lambda: start_head(prepared.task, prepared.config, plan.encoder_weights))
        if (vectors := prepared.config.word_vectors) is not None:
            head, words = prepared.task.head, prepared.vocabulary["words"]
            found = ranks.together(lambda: load_word_vectors(head, words, vectors))
            prepared.facts.append(("vectors", found))
    for name, fact in prepared.facts:
        say(f"{name:10} {fact}")
    say(f"run        {plan.folder}")
    return prepared


def settle_kernels(config: RunConfig, precision: Precision) -> str:
    """Use the fastest form of attention on this GPU; says which that is."""
    per_image = config.optimisation.texts_per_image or 5
    dtype = precision.amp or torch.float32
    try:
        return settle_attention(precision.device, dtype, per_image)
    except ImportError as error:
        return f"not compared, without Triton ({error})"


def check_vocabulary(run: RunFolder, prepared: Prepared) -> None:
    """Raise ``InputError`` if the data have changed since the run began."""
    if run.read_vocabulary() != prepared.vocabulary:
        raise InputError(
            f"{run.path}: the data in {prepared.config.data} give other words or answers than when "
            "the run began; put the old files back, or train a new run."
        )
