"""``frostgrid predict`` of photos, ``--images`` or ``--features`` of a folder, not of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..models.beam import BeamOptions
from .photos import (
    PhotosRequest,
    answer_photos,
    describe_photos,
    is_of_other_images,
    open_photos,
)
from .records import write_attention, write_records
from .trained import TrainedRun


def photos_request(
    trained: TrainedRun, options: dict[str, Any], split_is_typed: bool
) -> PhotosRequest | None:
    """What is asked about photos, None if a data set's split is to be predicted."""
    images, question, questions = (options[name] for name in ("images", "question", "questions"))
    features = options["features"][0] if len(options["features"]) == 1 else None
    asked = question is not None or questions is not None
    if not images and not asked:
        open_to_it = trained.config.task == "caption" and not options["data"] and not split_is_typed
        if not (open_to_it and features and is_of_other_images(features, trained.config)):
            return None
    name, task = trained.config.head, trained.config.task
    if task == "caption" and asked:
        raise click.UsageError(f"{name} describes photos and takes no question.")
    if task == "vqa" and not asked:
        raise click.UsageError(
            f"{name} answers questions; ask one of every photo by --question, or each its own by "
            "--questions FILE."
        )
    return PhotosRequest(
        images=images,
        features=features,
        question=question,
        questions=questions,
        keep=options["keep_features"],
        on_error=options["on_error"],
        weights=options["weights"],
        device=str(trained.precision.device),
    )


def write_photos(
    trained: TrainedRun,
    request: PhotosRequest,
    options: dict[str, Any],
    search: BeamOptions,
    out: Path,
    form: str,
) -> None:
    """Predict photos of one's own and write what was found."""
    task, with_attention = trained.config.task, options["attention"] is not None
    with open_photos(trained, request, out.parent) as photos:
        click.echo(f"photos     {len(photos.rows):,} of {request.images or request.features}")
        if photos.failed:
            click.echo(f"left out   {len(photos.failed):,} photos that could not be decoded")
        if task == "vqa":
            records, maps = answer_photos(trained, photos, request, with_attention, click.echo)
        else:
            records, maps = describe_photos(trained, photos, search, with_attention)
    write_records(out, records, task, form)
    kind = "answers" if task == "vqa" else "captions"
    click.echo(f"wrote      {len(records):,} {kind} to {out}")
    if with_attention:
        ids = [record["question_id" if task == "vqa" else "image_id"] for record in records]
        write_attention(options["attention"], zip(ids, maps, strict=True))
        click.echo(f"attention  {options['attention']}")
    if request.keep:
        click.echo(f"features   {request.keep}")
