"""A small network and small folders of images, shared by the tests of featurize."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from frostgrid.console import StopRequest
from frostgrid.datasets.images.image_list import ImageList, list_folder_images
from frostgrid.distributed import Share
from frostgrid.featurize.backbones import load_backbone
from frostgrid.featurize.extract import Extractor, extract
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.images import Preprocessing
from frostgrid.featurize.jobs import Job
from frostgrid.featurize.network import build_network
from frostgrid.featurize.prepare import locked, prepare
from PIL import Image

ALL = Share()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads only wait for each other on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def extractor() -> Extractor:
    """ResNet-18 to layer3 at 32 pixels in float32: 2 × 2 cells spread to 14 × 14, D = 256."""
    backbone = load_backbone("resnet18", "layer3", "random", seed=0)
    return Extractor(
        backbone=backbone,
        network=build_network(backbone, torch.device("cpu"), torch.float32, torch.float16),
        preprocessing=Preprocessing(32),
        dtype="float16",
        batch_size=4,
        workers=2,
    )


def make_images(folder: Path, n: int, seed: int = 0) -> Path:
    """A folder of ``n`` small random images named 0.png, 1.png, …"""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        blocks = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((48, 40)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18's weights, cheaper to read than to make."""
    path = tmp_path_factory.mktemp("weights") / "r18.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> ImageList:
    """Eleven images: two batches of four and one of three."""
    return list_folder_images(make_images(tmp_path / "images", 11))


@pytest.fixture
def job(images: ImageList, tmp_path: Path) -> Job:
    """The images to one file that does not exist yet."""
    return Job(images, data="images", split="", out=tmp_path / "out" / "f.h5")


def run_job(
    job: Job,
    extractor: Extractor,
    stop: StopRequest | None = None,
    share: Share = ALL,
    **how: bool,
) -> tuple[FeatureFile, int]:
    """What one call of the command does to one file; the file, and how many images were done."""
    with locked(job.out):
        prepare(job, extractor, **how)
        status = open_features(job.out).status
        signal = StopRequest() if stop is None else stop
        n_done = extract(extractor, job, status, signal, share=share)
    return open_features(job.out), n_done


@pytest.fixture
def run() -> Callable[..., tuple[FeatureFile, int]]:
    """``run_job``, for tests to call."""
    return run_job
