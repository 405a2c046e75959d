"""``train-head``: parse, build one config, train."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import Any

import click
import torch
from click.core import ParameterSource

from ..console import Command, stop_on_signal
from ..datasets.catalog import address_of
from ..devices import amp_dtype, describe_device, pick_device
from ..errors import InputError
from ..models.additive_attention import set_kernels
from ..models.registry import HEADS
from ..options import choice_option, data_option, device_option
from ..process import keep_freed_memory
from .config import RunConfig, check_optimisation
from .encoder import BEFORE
from .locate import find_features
from .loop import Trainer, Unwatched
from .parallel import Alone, join_ranks
from .prepare import Prepared, Start, prepare
from .recipes import RECIPES
from .run_folder import RunFolder, next_free
from .task import Precision
from .terminal import Terminal

COMMAND_LINE = ParameterSource.COMMANDLINE
RESUMABLE = ("head", "resume", "epochs", "features", "device")


@click.command("train-head", cls=Command)
@click.argument("head", type=click.Choice(list(HEADS)), required=False, metavar="HEAD")
@data_option
@click.option(
    "--features",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.h5",
    help="Feature file; give it once a file.  [default: where featurize put them]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Run folder.  [default: runs/HEAD, or the next free of runs/HEAD-2, …]",
)
@choice_option(
    "--recipe",
    values=RECIPES,
    help="The best known settings, or those of the report the head comes from.",
)
@click.option(
    "--epochs",
    type=int,
    metavar="N",
    help="Passes over the training split.  [default: the recipe's]",
)
@click.option(
    "--batch-size",
    type=int,
    metavar="N",
    help="Questions or captions a batch.  [default: the recipe's]",
)
@click.option(
    "--lr", type=float, metavar="X", help="Highest learning rate.  [default: the recipe's]"
)
@click.option(
    "--finetune",
    type=click.Choice(list(BEFORE)),
    help="Let the network's last block learn too, from features of the layer before "
    "(`featurize --layer layer3 --grid native`).",
)
@click.option(
    "--encoder-lr",
    type=float,
    metavar="X",
    help="Highest learning rate of that block.  [default: the recipe's, 0.0001]",
)
@click.option(
    "--flip",
    is_flag=True,
    default=None,
    help="With --finetune: mirror half of the cells' grids, at random, while training.",
)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="With --finetune: the network's weights, where the features do not say how to get them.",
)
@click.option(
    "--texts-per-image",
    type=click.IntRange(0),
    metavar="N",
    help="Questions or captions of an image that are drawn together, at most; 0: all. Fewer make "
    "batches of more images, and read and project each more often.  [default: the recipe's]",
)
@click.option(
    "--accumulate", type=int, metavar="N", help="Batches to one update.  [default: the recipe's]"
)
@click.option(
    "--patience",
    type=click.IntRange(0),
    metavar="N",
    help="Epochs without gain before it stops; 0: never.  [default: the recipe's]",
)
@click.option(
    "--loss",
    type=click.Choice(["soft", "commonest"]),
    help="Targets from all ten answers, or the commonest of them.  [default: the recipe's]",
)
@click.option(
    "--answers",
    type=click.IntRange(1),
    default=3000,
    show_default=True,
    metavar="N",
    help="Keep the most frequent answers, so many.",
)
@click.option(
    "--min-answer-count",
    type=click.IntRange(1),
    metavar="N",
    help="Of them, keep those that are the commonest of so many questions.  [default: all]",
)
@click.option(
    "--min-word-count",
    type=click.IntRange(1),
    metavar="N",
    help="Words seen less often become <unk>.  [default: 1 for questions, 5 for captions]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of weights, order and dropout.",
)
@choice_option("--amp", values=("auto", "off"), help="Half precision where the hardware has it.")
@choice_option(
    "--kernels",
    values=("auto", "plain"),
    help="Fused attention kernels, or plain PyTorch.",
)
@choice_option(
    "--order",
    values=("auto", "full", "local"),
    help="Shuffle all images, or blocks of neighbours: for features that memory cannot keep.",
)
@device_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with the run in this folder; only --epochs, --features and --device may change.",
)
@click.pass_context
def train_head(
    context: click.Context, /, head: str | None, resume: Path | None, **options: Any
) -> None:
    """Train HEAD on features that `featurize` wrote.

    HEAD is one of question-only, mean-embed, lstm, question-attention and san, which answer
    questions, or of rnn-decoder, show-attend-tell and up-down, which write captions.

    The run folder gets config.json, metrics.jsonl, the best and the last checkpoint, the best
    epoch's validation answers (preds.json) and TensorBoard events.
    """
    with join_ranks() as ranks:
        device = ranks.together(lambda: ranks.device(pick_device(options["device"])))
        plan = ranks.first_does(lambda: plan_run(context, head, resume, options))
        run = RunFolder(Path(plan["folder"]))
        start = None if resume is not None else Start(options["weights"])
        train(RunConfig.of_fields(plan["config"]), run, device, start, ranks)


def check_resume(context: click.Context) -> None:
    """Raise a usage error for options that a run, once begun, cannot follow any more."""
    given = (n for n in context.params if context.get_parameter_source(n) is COMMAND_LINE)
    fixed = [f"--{name.replace('_', '-')}" for name in given if name not in RESUMABLE]
    if fixed:
        raise click.UsageError(
            f"{' and '.join(fixed)} cannot go with --resume: the run goes on as it was begun; only "
            "--epochs, --features (where they are now) and --device may change."
        )


def plan_run(
    context: click.Context, head: str | None, resume: Path | None, options: dict[str, Any]
) -> dict[str, Any]:
    """The config, as plain fields, and the folder of the run that the command line asks for."""
    if resume is not None:
        check_resume(context)
        run = RunFolder(resume)
        config = run.read_config()
        if head not in (None, config.head):
            raise click.UsageError(f"{resume} trains {config.head!r}, not {head!r}.")
        config = config.with_overrides(epochs=options["epochs"])
        if options["features"]:
            config = replace(config, features=[str(path.resolve()) for path in options["features"]])
    elif head is None:
        raise click.UsageError(f"Missing argument HEAD: one of {', '.join(HEADS)}.")
    else:
        config = new_config(head, options)
        run = RunFolder(options["out"] or next_free(Path("runs"), head))
        run.check_free()
    check_optimisation(config.optimisation)
    return {"config": asdict(config), "folder": str(run.path)}


def new_config(head: str, o: dict[str, Any]) -> RunConfig:
    """The config of a new run from the command line's options."""
    check_finetune(head, o)
    data = address_of(o["data"])
    recipe = RECIPES[o["recipe"]][head]
    features = [str(path.resolve()) for path in o["features"]]
    if not features and HEADS[head].features != "none":
        found = find_features(o["data"], ["train", "val"], native=o["finetune"] is not None)
        click.echo(f"features   {', '.join(found)} (the newest backbone's)")
        features = [str(Path(path).resolve()) for path in found]
    config = RunConfig(
        head=head,
        task=HEADS[head].task,
        data=data,
        split="val",
        features=features,
        recipe=o["recipe"],
        seed=o["seed"],
        amp=o["amp"],
        kernels=o["kernels"],
        order=o["order"],
        head_settings=recipe.head,
        data_settings=data_settings(HEADS[head].task, o),
        optimisation=recipe.optimisation,
        finetune=o["finetune"],
    )
    names = ("epochs", "batch_size", "texts_per_image", "lr", "encoder_lr", "flip", "accumulate")
    names += ("patience", "loss")
    return config.with_overrides(**{name: o[name] for name in names})


def check_finetune(head: str, o: dict[str, Any]) -> None:
    """Raise a usage error for options of fine-tuning where nothing is fine-tuned."""
    if o["finetune"] is None:
        for name in ("encoder_lr", "flip", "weights"):
            if o[name] is not None:
                option = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{option} is of use with --finetune alone; add that too.")
    elif HEADS[head].features == "none":
        raise click.UsageError(f"{head} does not look at the image; drop --finetune.")


def data_settings(task: str, o: dict[str, Any]) -> dict[str, Any]:
    """How the data become classes and tokens: the options of ``vqa_data`` or ``caption_data``."""
    if task == "vqa":
        return {
            "n_answers": o["answers"],
            "min_answer_count": o["min_answer_count"],
            "min_word_count": o["min_word_count"] or 1,
        }
    return {"min_word_count": o["min_word_count"] or 5}


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
    try:
        with stop_on_signal(insist=ranks.n == 1) as stop:
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
    from .checkpoint import load_weights, read_tensors

    task, p = trainer.task, trainer.progress
    load_weights(task.head, read_tensors(run.best)[0], run.best)
    shuffled = task.shuffled_score()
    run.write_summary(p.best_epoch, p.best_score, shuffled, task.head)
    best, without = (task.score_format.format(score) for score in (p.best_score, shuffled))
    click.echo(f"best       {best} in epoch {p.best_epoch}")
    click.echo(f"images     {without} with the validation images exchanged for one another")
    click.echo(f"wrote      {run.best}, {run.predictions}")
    click.echo(f"score it   score {quote(str(run.predictions))}")
