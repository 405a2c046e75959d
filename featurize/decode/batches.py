"""Batches of images to pixels on the network's device, in threads, ahead of need."""

import zlib
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.images.image_list import ImageList
from ..file.layout import MIRRORED
from ..images import (
    ImageError,
    Pixels,
    Preprocessing,
    decode_image,
    pillow_formats,
    read_source,
)
from .jpeg_headers import Jpeg, find_jpeg
from .nvjpeg import decode_jpegs

BATCHES_AHEAD = 3


@dataclass(frozen=True)
class Source:
    """One image file.

    Attributes:
        content: its pixels, or the file's bytes if it is to be decoded on the GPU.
        n_bytes, crc32: length and checksum of the file.
    """

    content: Pixels | Jpeg
    n_bytes: int
    crc32: int


@dataclass(frozen=True)
class ImageGroup:
    """The images of a batch that have one shape.

    Attributes:
        index: [n] their positions in the batch, ascending.
        pixels: [n, H, W, 3] uint8.
    """

    index: NDArray[np.int64]
    pixels: Tensor


@dataclass
class DecodedBatch:
    """The images of some rows, decoded.

    Attributes:
        rows: [B] rows of the feature file, consecutive, ascending.
        groups: all that could be decoded; one group unless the images keep their own shapes.
        source_bytes, source_crc32: [B] of the image files.
        errors: the reason for each image that failed, by its index in the batch.
        by_gpu: [B] whether nvJPEG decoded it.
    """

    rows: NDArray[np.int64]
    groups: list[ImageGroup]
    source_bytes: NDArray[np.int64]
    source_crc32: NDArray[np.uint32]
    by_gpu: NDArray[np.bool_]
    errors: dict[int, str] = field(default_factory=dict)


def load_image(path: Path, preprocessing: Preprocessing) -> Source:
    """Read one image file, and decode and resize it unless the GPU will.

    Raises ``ImageError`` if any part of the image cannot be decoded.
    """
    data = read_source(path)
    jpeg = find_jpeg(data) if preprocessing.decode == "gpu" else None
    content = decode_image(data, preprocessing) if jpeg is None else jpeg
    return Source(content, len(data), zlib.crc32(data))


def decode_one(data: bytes, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """The pixels [H, W, 3] of one image file on the device, as extraction has them.

    Raises ``ImageError`` if any part of the image cannot be decoded.
    """
    jpeg = find_jpeg(data) if preprocessing.decode == "gpu" else None
    by_gpu = decode_jpegs([jpeg], preprocessing, device)[0] if jpeg is not None else None
    if by_gpu is not None:
        return by_gpu
    return torch.tensor(decode_image(data, preprocessing)).to(device)


def decode_batches(
    images: ImageList,
    batches: Sequence[NDArray[np.int64]],
    preprocessing: Preprocessing,
    workers: int,
    device: torch.device,
) -> Generator[DecodedBatch, None, None]:
    """Decode the batches in order and ahead of need, one image per thread (Pillow frees the GIL).

    One more thread brings them to the device. At most ``BATCHES_AHEAD`` + 1 batches are in memory.
    """
    pillow_formats()  # loaded here, before the threads
    loader = BatchLoader(preprocessing, device)
    waiting: deque[Future[DecodedBatch]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    collector = ThreadPoolExecutor(1, thread_name_prefix="collect")
    try:
        for rows in batches:
            paths = [images.path(int(row)) for row in rows]
            sources = [pool.submit(load_image, path, preprocessing) for path in paths]
            waiting.append(collector.submit(loader.collect, rows, sources))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        collector.shutdown(wait=True, cancel_futures=True)


class BatchLoader:
    """Puts images together and onto the device; on a GPU beside what else it computes."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        self.preprocessing = preprocessing
        self.device = device
        self.stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call, unused-ignore]

    def collect(self, rows: NDArray[np.int64], sources: list[Future[Source]]) -> DecodedBatch:
        """The batch of these images, once they are read or decoded."""
        n = len(rows)
        lengths, sums = np.zeros(n, np.int64), np.zeros(n, np.uint32)
        batch = DecodedBatch(rows, [], lengths, sums, np.zeros(n, bool))
        contents: dict[int, Pixels | Jpeg] = {}
        for i, future in enumerate(sources):
            try:
                source = future.result()
            except ImageError as error:
                batch.errors[i] = str(error)
                continue
            contents[i] = source.content
            batch.source_bytes[i], batch.source_crc32[i] = source.n_bytes, source.crc32
        beside = nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
        with torch.inference_mode(), beside:
            on_gpu = self._decode(contents, batch)
            batch.groups = self._group(contents, on_gpu)
        if self.stream is not None:
            self.stream.synchronize()
        return batch

    def _decode(self, contents: dict[int, Pixels | Jpeg], batch: DecodedBatch) -> dict[int, Tensor]:
        """Decode the JPEGs among the contents on the GPU; those that it refuses, by Pillow."""
        jpegs = {i: content for i, content in contents.items() if isinstance(content, Jpeg)}
        found = decode_jpegs(list(jpegs.values()), self.preprocessing, self.device)
        on_gpu = {i: pixels for i, pixels in zip(jpegs, found, strict=True) if pixels is not None}
        for i in jpegs.keys() - on_gpu.keys():
            del contents[i]
            try:
                contents[i] = decode_image(jpegs[i].data, self.preprocessing)
            except ImageError as error:
                batch.errors[i] = str(error)
                batch.source_bytes[i] = batch.source_crc32[i] = 0
        batch.by_gpu[list(on_gpu)] = True
        return on_gpu

    def _group(
        self, contents: dict[int, Pixels | Jpeg], on_gpu: dict[int, Tensor]
    ) -> list[ImageGroup]:
        """All pixels by their shape, on the device, in the view that the network gets."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        arrays = {i: content for i, content in contents.items() if not isinstance(content, Jpeg)}
        for i in sorted(arrays.keys() | on_gpu.keys()):
            shape = tuple(on_gpu[i].shape if i in on_gpu else arrays[i].shape)
            by_shape.setdefault(shape, []).append(i)
        stacks = {s: self._stack(index, arrays, on_gpu) for s, index in by_shape.items()}
        if self.preprocessing.view == MIRRORED:
            stacks = {shape: pixels.flip(2) for shape, pixels in stacks.items()}
        return [
            ImageGroup(np.array(index, np.int64), stacks[shape])
            for shape, index in by_shape.items()
        ]

    def _stack(
        self, index: list[int], arrays: dict[int, Pixels], on_gpu: dict[int, Tensor]
    ) -> Tensor:
        own = [i for i in index if i in arrays]
        if not own:
            return torch.stack([on_gpu[i] for i in index])
        stacked = torch.from_numpy(np.stack([arrays[i] for i in own]))
        if self.device.type != "cpu":
            stacked = stacked.pin_memory().to(self.device, non_blocking=True)
        if len(own) == len(index):
            return stacked
        moved = dict(zip(own, stacked, strict=True))
        return torch.stack([moved[i] if i in moved else on_gpu[i] for i in index])
