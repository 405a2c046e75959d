"""Where the peers' features come from: h5py row by row, an array in RAM, or the ResNet itself."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torchvision
from frostgrid.train.data.vqa_targets import SoftTargets
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

Sample = tuple[Any, ...]
ENDLESS = 2**20  # questions, more than are ever taken
NORMALIZE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Texts(Dataset[Sample]):
    """A text a sample: its features, its tokens, its length, and a row of soft targets."""

    def __init__(
        self,
        image: NDArray[np.int64],
        tokens: NDArray[np.int32],
        length: NDArray[np.int32],
        targets: SoftTargets | None,
        n_answers: int,
    ) -> None:
        self.image, self.length = image, length
        self.tokens = torch.from_numpy(tokens.astype(np.int64))
        self.targets, self.n_answers = targets, n_answers

    def __len__(self) -> int:
        return len(self.image)

    def features(self, image: int) -> Tensor:
        raise NotImplementedError

    def __getitem__(self, item: int) -> Sample:
        target = torch.zeros(self.n_answers)
        if self.targets is not None:
            part = slice(self.targets.indptr[item], self.targets.indptr[item + 1])
            share = torch.from_numpy(self.targets.count[part] / 10)
            target[torch.from_numpy(self.targets.answer[part].astype(np.int64))] = share
        features = self.features(int(self.image[item]))
        return features, self.tokens[item], int(self.length[item]), target


class FromHdf5(Texts):
    """Tutorial style: the file is opened once a worker, and gives a row a sample, as float32."""

    def __init__(self, path: Path, kind: str, *texts: Any) -> None:
        super().__init__(*texts)
        self.path, self.kind = path, kind
        self.rows: Any = None

    def features(self, image: int) -> Tensor:
        if self.rows is None:
            self.rows = h5py.File(self.path, "r")[self.kind]
        return torch.from_numpy(self.rows[image].astype(np.float32))


class FromImages(Texts):
    """Report style: JPEG files, decoded and resized for every sample."""

    def __init__(self, images: list[bytes], size: int, *texts: Any) -> None:
        super().__init__(*texts)
        self.images, self.size = images, size

    def features(self, image: int) -> Tensor:
        picture = Image.open(io.BytesIO(self.images[image % len(self.images)])).convert("RGB")
        pixels = np.asarray(picture.resize((self.size, self.size), Image.Resampling.BILINEAR))
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div_(255)
        return torchvision.transforms.functional.normalize(tensor, *NORMALIZE, inplace=True)


class InRam:
    """The whole array in memory as float16; batches in the order of a shuffle of the questions."""

    def __init__(self, features: Tensor, texts: Texts) -> None:
        self.array, self.texts = features, texts
        self.length = torch.from_numpy(texts.length.astype(np.int64))
        self.image = torch.from_numpy(texts.image)

    def batch(self, items: Tensor) -> Sample:
        texts = self.texts
        target = torch.zeros(len(items), texts.n_answers)
        if texts.targets is not None:
            t = texts.targets
            at = items.numpy()
            counts = np.diff(t.indptr)[at]
            row = np.repeat(np.arange(len(at)), counts)
            entry = np.concatenate([np.arange(t.indptr[i], t.indptr[i + 1]) for i in at])
            share = torch.from_numpy(t.count[entry] / 10)
            target[torch.from_numpy(row), torch.from_numpy(t.answer[entry].astype(np.int64))] = (
                share
            )
        features = self.array[self.image[items]]
        return features, texts.tokens[items], self.length[items], target


def drawn(texts: Texts, batch_size: int, workers: int) -> Iterator[Sample]:
    """Batches of PyTorch's own loader over an endless shuffle of the questions."""
    order = RandomSampler(texts, num_samples=ENDLESS)
    # As on Linux by default; here, in a process that was itself spawned, it would be another.
    start = "fork" if workers else None
    samples = DataLoader(
        texts, batch_size, sampler=order, num_workers=workers, multiprocessing_context=start
    )
    return iter(samples)


def make_jpegs(n: int, seed: int = 0) -> list[bytes]:
    """Smooth pictures of COCO's size as JPEG files."""
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(n):
        small = rng.integers(0, 256, (60, 80, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(
            buffer, "JPEG", quality=90
        )
        files.append(buffer.getvalue())
    return files


class FrozenResNet18(torch.nn.Module):
    """ResNet-18 up to its last cells, ``[B, 3, 448, 448]`` to ``[B, 196, 512]``."""

    def __init__(self) -> None:
        super().__init__()
        network = torchvision.models.resnet18(weights=None)
        self.body = torch.nn.Sequential(*list(network.children())[:-2]).eval()
        self.body.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            cells = self.body(pixels.contiguous(memory_format=torch.channels_last))
        return cells.flatten(2).transpose(1, 2).float()
