"""``frostgrid clipscore``: parse, embed, print the scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..atomic import write_bytes
from ..console import Command
from ..errors import InputError
from ..evaluate.reference_files import CaptionReferences, Choice, find_references
from ..options import device_option
from ..parameters import OneOf, OutputFile

if TYPE_CHECKING:
    from ..evaluate.captions.extra import ExtraScores


@click.command("clipscore", cls=Command)
@click.argument(
    "results", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="PREDS.json"
)
@click.option(
    "--weights",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CLIP's weights, as open_clip saves them (.safetensors or .pt).",
)
@click.option(
    "--model",
    default="ViT-B-32-quickgelu",
    show_default=True,
    help="open_clip's name of the network; the default is the paper's.",
)
@click.option("--data", metavar="NAME|DIR", help="The data set that the captions are of.")
@click.option(
    "--split",
    type=OneOf(["train", "val", "test"]),
    help="Its split.  [default: the one predicted, or val]",
)
@click.option(
    "--per-item",
    type=OutputFile(".jsonl"),
    metavar="FILE.jsonl",
    help="Write the scores of each image.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@device_option
def clipscore(
    results: Path,
    weights: Path,
    model: str,
    data: str | None,
    split: str | None,
    per_item: Path | None,
    as_json: bool,
    device: str,
) -> None:
    """Score captions by CLIP: CLIPScore, of each caption and its image, and RefCLIPScore.

    Needs open_clip (`pip install open_clip_torch`) and its weights; nothing is downloaded.
    """
    # torch takes seconds to import, and --help needs none of it.
    from ..devices import pick_device
    from ..evaluate.layouts import open_results
    from .encoder import ClipEncoder
    from .evaluate import score_by_clip

    file = open_results(results)
    found = find_references([file], Choice(data=data, split=split))
    references = found.references
    if not isinstance(references, CaptionReferences):
        raise InputError(f"{results}: holds answers, and CLIPScore is of captions; use `score`.")
    click.echo(f"References: {found.origin}", err=as_json)
    encoder = ClipEncoder(model, weights, pick_device(device))
    ids, scores = score_by_clip(
        encoder, file.official(found.task), references.data, references.split, references.path
    )
    if per_item:
        write_bytes(per_item, format_items(ids, scores))
    click.echo(format_scores(scores, as_json))


def format_scores(scores: list[ExtraScores], as_json: bool) -> str:
    """The scores with their intervals, as a table or as JSON."""
    from ..evaluate.metrics import Resampling, find_intervals
    from ..evaluate.table import Table, as_text

    n = len(scores[0].each)
    intervals = find_intervals([each.family for each in scores], Resampling())
    signature = f"{scores[0].signature}|n:{n}|frostgrid:{__version__}"
    if as_json:
        values = {each.name.lower(): each.value for each in scores}
        return json.dumps({"n": n, **values, "signature": signature}, indent=2)
    rows = [
        [each.name, str(n), f"{each.value:.4f}", f"{low:.4f} – {high:.4f}" if low == low else ""]
        for each, (low, high) in zip(scores, intervals, strict=True)
    ]
    notes = ["interval: 95%, bootstrap over the images, 1000 resamples, seed 0", signature]
    return as_text(Table(["metric", "n", "score", "interval"], rows, notes=notes))


def format_items(ids: list[int], scores: list[ExtraScores]) -> bytes:
    """A line of JSON for each image."""
    lines = [
        {"image_id": image, **{each.name.lower(): float(each.each[k]) for each in scores}}
        for k, image in enumerate(ids)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
