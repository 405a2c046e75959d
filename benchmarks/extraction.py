"""Extraction beside the bare network and beside a plain torchvision loop, in turns.

``python -m benchmarks.extraction [IMAGE_DIR] [--backbone resnet18] [--images N] [--rounds N]``.
Without IMAGE_DIR, synthetic 640 × 480 JPEGs are made. *ours* decodes, computes, checks and writes a
feature file; *bare network* runs the same network on tensors that are ready in memory; *torchvision
loop* is what one writes first: float32, ``DataLoader``, ``Resize``, rows assigned through h5py.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import torch
from frostgrid.console import StopRequest
from frostgrid.datasets.images.image_list import ImageList, list_folder_images
from frostgrid.devices import pick_device
from frostgrid.featurize.backbones import Backbone, load_backbone
from frostgrid.featurize.encoders.random_weights import dead_leaves
from frostgrid.featurize.extract import Extractor, batches_to_do, extract
from frostgrid.featurize.images import Preprocessing
from frostgrid.featurize.jobs import Job
from frostgrid.featurize.network import build_network, choose_precision
from frostgrid.featurize.prepare import prepare
from frostgrid.process import keep_freed_memory
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from .interleaved import machine, print_table, time_in_turns


def make_photos(folder: Path, n_images: int) -> Path:
    folder.mkdir()
    for i in range(n_images):
        leaves = Image.fromarray(dead_leaves()[i % 8]).resize((640, 480))
        noise = np.random.default_rng(i).integers(-8, 9, (480, 640, 3))
        pixels = np.clip(np.asarray(leaves) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=90)
    return folder


class Photos(Dataset[torch.Tensor]):
    def __init__(self, images: ImageList, size: int) -> None:
        self.images = images
        self.transform = v2.Compose(
            [
                v2.Resize((size, size), antialias=True),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.images.path(index)) as image:
            tensor: torch.Tensor = self.transform(image.convert("RGB"))
        return tensor


def torchvision_loop(
    images: ImageList,
    backbone: Backbone,
    size: int,
    batch_size: int,
    device: torch.device,
    out: Path,
) -> Callable[[], object]:
    network = backbone.network.to(device)
    loader: Any = DataLoader(Photos(images, size), batch_size=batch_size, num_workers=2)

    def run() -> None:
        with h5py.File(out, "w") as file, torch.inference_mode():
            grid = file.create_dataset("grid", (len(images), 196, backbone.channels), np.float16)
            row = 0
            for pixels in loader:
                cells = network(pixels.to(device)).flatten(2).mT
                grid[row : row + len(cells)] = cells.cpu().numpy()
                row += len(cells)

    return run


def ours(job: Job, extractor: Extractor) -> Callable[[], object]:
    prepare(job, extractor)
    to_do = np.zeros(len(job.images), np.uint8)
    return lambda: extract(extractor, job, to_do, StopRequest())


def bare_network(images: ImageList, extractor: Extractor) -> Callable[[], object]:
    batches = batches_to_do(np.zeros(len(images), np.uint8), extractor.batch_size)
    decoded = extractor.decode(images, batches)
    ready = [group.pixels for batch in decoded for group in batch.groups]

    def run() -> None:
        with torch.inference_mode():
            for pixels in ready:
                grid, _ = extractor.network(pixels)
            grid.cpu()

    return run


@click.command()
@click.argument("image_dir", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--backbone", default="resnet18")
@click.option("--size", default=448)
@click.option("--images", "n_images", default=64)
@click.option("--batch-size", default=16)
@click.option("--rounds", default=5)
@click.option("--device", "device_name", default="auto")
def main(
    image_dir: Path | None,
    backbone: str,
    size: int,
    n_images: int,
    batch_size: int,
    rounds: int,
    device_name: str,
) -> None:
    """Print a table of seconds for a pass over the images."""
    device = pick_device(device_name)
    keep_freed_memory()  # as featurize does; the other two profit as well
    loaded = load_backbone(backbone, "layer4", "random", 0)
    precision = choose_precision(device, "auto")
    extractor = Extractor(
        backbone=loaded,
        network=build_network(loaded, device, precision, torch.float16),
        preprocessing=Preprocessing(size),
        dtype="float16",
        batch_size=batch_size,
        workers=2 if device.type == "cpu" else 16,
    )
    with tempfile.TemporaryDirectory() as folder:
        images = list_folder_images(image_dir or make_photos(Path(folder) / "photos", n_images))
        images = ImageList(images.root, images.file_names[:n_images], images.image_ids[:n_images])
        job = Job(images, "photos", "", Path(folder) / "f.h5")
        cases = {
            "ours": ours(job, extractor),
            "bare network": bare_network(images, extractor),
            "torchvision loop": torchvision_loop(
                images, loaded, size, batch_size, device, Path(folder) / "plain.h5"
            ),
        }
        timings = time_in_turns(cases, rounds)
    print(machine())
    title = f"{backbone} at {size}, {len(images)} images in batches of {batch_size}, {precision}"
    print_table(title, timings, "ours")
    print_rates({name: len(images) / timing.median for name, timing in timings.items()})


def print_rates(rates: dict[str, float]) -> None:
    """Images a second, and how ours are to the others'."""
    print("\nimages/s: " + ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items()))
    print(f"ours / bare network: {rates['ours'] / rates['bare network']:.1%}")
    print(f"ours / torchvision loop: {rates['ours'] / rates['torchvision loop']:.2f}x")


if __name__ == "__main__":
    main()
