"""The ``featurize`` command."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import filelock
import numpy as np
from tqdm import tqdm

from ..console import Command, stop_on_signal
from ..datasets.catalog import ImageList, list_folder_images, open_dataset
from ..errors import InputError
from .images import CROPS, Preprocessing
from .layout import DONE, FAILED, GRID_DTYPES, TO_DO


@dataclass(frozen=True)
class Options:
    """The command line of ``featurize``, as typed; each field is the option of its name."""

    image_dir: Path | None
    backbone: str
    data: str
    split: str | None
    out: Path | None
    weights: str
    seed: int
    image_size: int
    layer: str
    crop: str
    draft: bool
    dtype: str
    batch_size: int
    workers: int
    device: str
    amp: str
    on_error: str
    limit: int | None
    verify: bool
    overwrite: bool


@click.command(cls=Command)
@click.argument("image_dir", required=False, type=click.Path(path_type=Path))
@click.option("--backbone", default="resnet18", show_default=True)
@click.option("--data", default="easy-vqa", envvar="FROSTGRID_DATA", show_default=True)
@click.option("--split", default=None)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--weights", default="imagenet", envvar="FROSTGRID_WEIGHTS", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--image-size", type=click.IntRange(min=32), default=448, show_default=True)
@click.option("--layer", type=click.Choice(["layer4", "layer3"]), default="layer4")
@click.option("--crop", type=click.Choice(CROPS), default="squash", show_default=True)
@click.option("--draft", is_flag=True)
@click.option("--dtype", type=click.Choice(["float16", "float32"]), default="float16")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=os.cpu_count())
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    envvar="FROSTGRID_DEVICE",
)
@click.option("--amp", type=click.Choice(["auto", "off"]), default="auto", show_default=True)
@click.option("--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True)
@click.option("--limit", type=click.IntRange(min=1))
@click.option("--verify", is_flag=True)
@click.option("--overwrite", is_flag=True)
def featurize(**arguments: Any) -> None:
    """Look at every image once with a frozen ResNet; write the feature file."""
    options = Options(**arguments)
    from .backbones import load_backbone
    from .extract import Extraction, extract
    from .job import check_same, describe
    from .network import build_network, choose_device, choose_precision
    from .store import open_features
    from .writer import RowWriter, check_space, create_file, needed_bytes

    device = choose_device(options.device)
    precision = choose_precision(device, options.amp)
    backbone = load_backbone(options.backbone, options.layer, options.weights, options.seed)
    click.echo(f"{backbone.name}, weights {backbone.weights}, on {device}, {precision}")
    network = build_network(backbone, device, precision)
    preprocessing = Preprocessing(options.image_size, options.crop, options.draft)
    for job in plan(options):
        job.out.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{job.out}.lock", timeout=0)
        with lock:
            provenance = describe(job, backbone, preprocessing, options.dtype, str(precision))
            if options.overwrite or not job.out.exists():
                check_space(
                    job.out, needed_bytes(len(job.images), backbone.channels, options.dtype)
                )
                create_file(job.out, provenance, job.images.image_ids, job.images.file_names)
            file = open_features(job.out)
            check_same(file, provenance, job.images)
            click.echo(f"{job}: {file.n_images} images -> {job.out}")
            todo = int((file.status == TO_DO).sum())
            with (
                RowWriter(job.out) as writer,
                stop_on_signal() as stop,
                tqdm(total=todo, unit="img", disable=not todo) as bar,
            ):
                extraction = Extraction(
                    options.batch_size, options.workers, options.on_error == "skip"
                )
                outcome = extract(
                    job.images,
                    network,
                    preprocessing,
                    writer,
                    file.status,
                    extraction,
                    lambda: bool(stop),
                    bar.update,
                )
            if outcome.stopped:
                raise click.ClickException(f"{job.out}: stopped; run the same command to go on.")
            status = open_features(job.out).status
            click.echo(
                f"  done {int((status == DONE).sum())}, failed {int((status == FAILED).sum())}"
            )


def plan(options: Options) -> list[Any]:
    """The feature files that the command line asks for."""
    from .job import Job

    if options.image_dir is not None:
        images = list_folder_images(options.image_dir)
        name = options.image_dir.resolve().name
        return [_job(Job, options, images, name, "", f"{name}-{options.backbone}")]
    dataset = open_dataset(options.data)
    splits = (options.split,) if options.split else dataset.splits()
    if options.out is not None and len(splits) > 1:
        raise click.UsageError("--out names one file but there are several splits; give --split")
    return [
        _job(
            Job,
            options,
            dataset.images(s),
            dataset.name,
            s,
            f"{dataset.name}-{s}-{options.backbone}",
        )
        for s in splits
    ]


def _job(kind: Any, options: Options, images: ImageList, data: str, split: str, stem: str) -> Any:
    if options.limit is not None:
        n = options.limit
        images = ImageList(images.root, images.file_names[:n], images.image_ids[:n])
    return kind(images, data, split, options.out or Path("features") / f"{stem}.h5")


def main() -> None:
    """Run the command."""
    featurize()
