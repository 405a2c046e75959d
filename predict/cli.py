"""``frostgrid predict``: parse, predict a split, print what was written."""

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import click

from ..console import Command
from ..options import device_option, missing_option, run_argument, trust_ids_option
from ..parameters import FiniteFloat, OneOf, OutputFile
from .choices import BEAM, LENGTH_POWER, MAX_LENGTH


@click.command("predict", cls=Command)
@run_argument
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
    "--out",
    type=OutputFile(".json"),
    metavar="FILE.json",
    help="Result file.  [default: RUN/preds-SPLIT.json]",
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
def predict(run: Path, split: str, data: str | None, device: str, **options: Any) -> None:
    """Write the answers or captions of RUN's best epoch for a split, in the official format."""
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..models.beam import BeamOptions
    from ..process import keep_freed_memory
    from ..train.data.locate import find_features
    from ..train.inputs import training_splits
    from .split import can_be_scored, predict_split
    from .trained import load_run

    trained = load_run(run, pick_device(device))
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
    config = replace(
        trained.config, data=data, features=features, trust_ids=trust_ids, missing=missing
    )
    search = BeamOptions(
        beam=options["beam"],
        max_length=options["max_length"],
        length_power=options["length_power"],
        no_repeated_trigrams=options["no_repeated_trigrams"],
    )
    out = options["out"] or run / f"preds-{split}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    written = predict_split(trained, config, split, out, search)
    if written.left_out:
        click.echo(f"left out   {written.left_out}")
    click.echo(f"wrote      {written.n:,} {written.kind} to {written.path}")
    if can_be_scored(config, split):
        click.echo(f"score it   score {quote(str(written.path))}")
    else:
        click.echo(
            f"score it   {data} has no {written.kind} for the split {split} to score against"
        )
