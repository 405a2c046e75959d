"""``frostgrid predict``: parse, predict a split, print what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..console import Command
from ..options import (
    choice_option,
    device_option,
    missing_option,
    runs_argument,
    trust_ids_option,
)
from ..parameters import FEATURE_FILE, FiniteFloat, OneOf, OutputFile
from .choices import BEAM, FORMATS, LENGTH_POWER, MAX_LENGTH

if TYPE_CHECKING:
    from ..models.beam import BeamOptions
    from ..train.settings.config import RunConfig
    from .split import SplitPredictions
    from .trained import TrainedRun

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command("predict", cls=Command)
@runs_argument
@click.option(
    "--split",
    type=OneOf(["train", "val", "test"]),
    default="val",
    show_default=True,
    help="Which part of the data.",
)
@click.option(
    "--data", metavar="NAME|DIR", help="Another data set's name or folder.  [default: the run's]"
)
@click.option(
    "--features",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE.h5",
    help="Feature file of the split.  [default: the run's, or where featurize put it]",
)
@trust_ids_option
@missing_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Describe, or ask about, the photos in a folder, instead of a split.",
)
@click.option("--question", help="VQA only: ask this of every photo of --images or --features.")
@click.option(
    "--questions",
    type=FILE,
    metavar="FILE",
    help="VQA only: CSV or JSON lines of image and question, on these photos.",
)
@click.option(
    "--keep-features",
    type=OutputFile(*FEATURE_FILE),
    metavar="FILE.h5",
    help="Keep the features of --images here; a file that is there is gone on with.",
)
@choice_option(
    "--on-error",
    values=("stop", "skip"),
    help="At a photo of --images that cannot be decoded: stop, or leave it out.",
)
@click.option(
    "--weights",
    metavar="imagenet|random|FILE",
    help="The frozen network's weights for --images, where the run does not say how to get them.",
)
@click.option(
    "--out",
    type=OutputFile(".json", ".jsonl", ".csv"),
    metavar="FILE",
    help="Result file: .json is the official format, .jsonl and .csv have the questions and file "
    "names too.  [default: RUN/preds-SPLIT.json, or RUN/preds-FOLDER.json; of several runs "
    "RUN/preds-SPLIT-ensemble.json in the first]",
)
@click.option("--format", "form", type=OneOf(FORMATS), help="Of the file.  [default: by --out]")
@click.option(
    "--attention",
    type=OutputFile(".npz"),
    metavar="FILE.npz",
    help="Write where the head looked too: an array for each question_id, or image_id.",
)
@click.option(
    "--beam",
    type=click.IntRange(1),
    default=BEAM,
    show_default=True,
    help="Captions only: the width of the beam search; 1 is greedy decoding.",
)
@click.option(
    "--max-length",
    type=click.IntRange(1),
    default=MAX_LENGTH,
    show_default=True,
    help="Captions only: words at most.",
)
@click.option(
    "--length-power",
    type=FiniteFloat(),
    default=LENGTH_POWER,
    show_default=True,
    help="Captions only: log-probabilities are divided by words to this power; 0 favours short.",
)
@click.option(
    "--no-repeated-trigrams",
    is_flag=True,
    help="Captions only: generate no three words in a row twice.",
)
@device_option
@click.pass_context
def predict(context: click.Context, /, runs: tuple[Path, ...], device: str, **options: Any) -> None:
    """Write the answers or captions of RUN's best epoch for a split, in the official format.

    Of several runs the probabilities are averaged.

    With --images, or --features of a folder, those of any photos: a captioning run describes them,
    a VQA run answers --question or --questions.
    """
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..models.beam import BeamOptions
    from ..process import keep_freed_memory
    from .photos_cli import photos_request, write_photos
    from .trained import load_run

    check_usage(options)
    if len(runs) > 1:
        check_together_usage(options)
    run, picked = runs[0], pick_device(device)
    trained = load_run(run, picked)
    if options["attention"] and not trained.has_attention:
        raise click.UsageError(
            f"{trained.config.head} has no attention over cells; drop --attention."
        )
    search = BeamOptions(
        beam=options["beam"],
        max_length=options["max_length"],
        length_power=options["length_power"],
        no_repeated_trigrams=options["no_repeated_trigrams"],
    )
    if len(runs) > 1:
        all_trained = [trained, *(load_run(other, picked) for other in runs[1:])]
        keep_freed_memory()
        write_together(runs, all_trained, options, search)
        return
    split_is_typed = context.get_parameter_source("split") is ParameterSource.COMMANDLINE
    request = photos_request(trained, options, split_is_typed)
    name = f"preds-{options['split'] if request is None else request.where.stem}"
    out, form = output_file(run / name, options)
    out.parent.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    if request is None:
        write_split(trained, options, search, out, form)
    else:
        write_photos(trained, request, options, search, out, form)


def check_usage(options: dict[str, Any]) -> None:
    """Raise a usage error for options that do not go together."""
    if options["question"] is not None and options["questions"]:
        raise click.UsageError("--question and --questions exclude each other.")
    if options["images"]:
        for name in ("data", "features"):
            if options[name]:
                raise click.UsageError(
                    f"--images and --{name} exclude each other: the features of --images are made "
                    "on the way."
                )
        return
    for name in ("keep_features", "weights"):
        if options[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} is of use with --images alone.")
    asked = options["question"] is not None or options["questions"]
    if asked and (options["data"] or len(options["features"]) != 1):
        raise click.UsageError(
            "--question and --questions are about photos: name a folder by --images, or its "
            "feature file by --features."
        )


def check_together_usage(options: dict[str, Any]) -> None:
    """Raise a usage error for options that several runs cannot go with."""
    for name in ("images", "question", "questions", "attention"):
        if options[name]:
            raise click.UsageError(f"--{name} is for one run; several predict a split.")
    if output_file(Path("preds"), options)[1] != "json":
        raise click.UsageError("Several runs write .json alone.")


def write_together(
    runs: tuple[Path, ...],
    trained: list[TrainedRun],
    options: dict[str, Any],
    search: BeamOptions,
) -> None:
    """Predict a split by several runs and say how it is scored."""
    from .ensemble import predict_together

    split = options["split"]
    configs = [split_config(one, options) for one in trained]
    out, _ = output_file(runs[0] / f"preds-{split}-ensemble", options)
    out.parent.mkdir(parents=True, exist_ok=True)
    tell_written(predict_together(runs, trained, configs, split, out, search), configs[0], split)


def tell_written(written: SplitPredictions, config: RunConfig, split: str) -> None:
    """Say what was written of a split, and how it is scored."""
    from .split import can_be_scored

    if written.left_out:
        click.echo(f"left out   {written.left_out}")
    click.echo(f"wrote      {written.n:,} {written.kind} to {written.path}")
    if can_be_scored(config, split):
        click.echo(f"score it   score {quote(str(written.path))}")
    else:
        click.echo(
            f"score it   {config.data} has no {written.kind} for the split {split} to score against"
        )


def output_file(default: Path, options: dict[str, Any]) -> tuple[Path, str]:
    """Where the predictions go, and in which of ``FORMATS``."""
    out: Path | None = options["out"]
    form = options["form"] or (out.suffix.lower().removeprefix(".") if out else "") or FORMATS[0]
    return out or default.with_name(f"{default.name}.{form}"), form


def write_split(
    trained: TrainedRun, options: dict[str, Any], search: BeamOptions, out: Path, form: str
) -> None:
    """Predict a split and say how it is scored."""
    from .details import split_attention, write_split_records
    from .records import write_attention
    from .split import predict_split

    split = options["split"]
    config = split_config(trained, options)
    if form == "json":
        written = predict_split(trained, config, split, out, search)
    else:
        written = write_split_records(trained, config, split, out, search, form)
    if options["attention"]:
        write_attention(options["attention"], split_attention(trained, config, split, search))
        click.echo(f"attention  {options['attention']}")
    tell_written(written, config, split)


def split_config(trained: TrainedRun, options: dict[str, Any]) -> RunConfig:
    """The run's config with the data and the features that are asked for."""
    from ..train.features.locate import find_features
    from ..train.inputs import training_splits

    split, data = options["split"], options["data"]
    features = [str(path) for path in options["features"]]
    if not features and trained.head.features != "none":
        features = trained.config.features
        if data is not None or split not in (
            *training_splits(trained.config),
            trained.config.split,
        ):
            native = trained.config.finetune is not None
            backbone = trained.config.feature_identity.get("backbone")
            features = find_features(data or trained.config.data, [split], native, backbone)
        click.echo(f"features   {', '.join(features)}")
    # What was trusted in training holds for the run's own data, not for others.
    is_own = data is None and not options["features"]
    trust_ids = options["trust_ids"] or (is_own and trained.config.trust_ids)
    if is_own and split == "val" and split in training_splits(trained.config):
        click.echo("note       the run was trained on the split val too (--split trainval)")
    missing = trained.config.missing if is_own else options["missing"]
    if options["missing"] == "skip":
        missing = "skip"
    data = trained.config.data if data is None else data
    return replace(
        trained.config, data=data, features=features, trust_ids=trust_ids, missing=missing
    )
