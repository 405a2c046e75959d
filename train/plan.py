"""From what is typed to the run that is asked for: its config and its folder."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..datasets.catalog import address_of
from ..models.registry import HEADS
from .config import RunConfig, check_optimisation
from .locate import find_features
from .recipes import RECIPES
from .run_folder import RunFolder, next_free

COMMAND_LINE = ParameterSource.COMMANDLINE
RESUMABLE = ("head", "resume", "epochs", "data", "features", "device", "no_control")
# What goes before the recipe's own, where it is typed.
OVERRIDES = (
    *("epochs", "batch_size", "texts_per_image", "accumulate", "patience", "loss"),
    *("lr", "encoder_lr", "flip"),
)


def check_resume(context: click.Context) -> None:
    """Raise a usage error for options that a run, once begun, cannot follow any more."""
    given = (n for n in context.params if context.get_parameter_source(n) is COMMAND_LINE)
    fixed = [f"--{name.replace('_', '-')}" for name in given if name not in RESUMABLE]
    if fixed:
        raise click.UsageError(
            f"{' and '.join(fixed)} cannot go with --resume: the run goes on as it was begun; only "
            "--epochs, --device, and where --data and --features are, may change."
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
        if context.get_parameter_source("data") is COMMAND_LINE:
            config = replace(config, data=address_of(options["data"]))
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
        follow=[name for name in recipe.follow if o[name] is None],
        finetune=o["finetune"],
    )
    return config.with_overrides(**{name: o[name] for name in OVERRIDES})


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
