"""How long an extraction takes and how large its file gets, from a few batches of its images."""

import time
from dataclasses import dataclass

import numpy as np

from .extract import Extractor
from .file.writer import needed_bytes
from .jobs import Job
from .network import run_network

MAX_BATCHES = 4


@dataclass(frozen=True)
class Estimate:
    """The size of the file, and the rate in images per second."""

    n_bytes: int
    images_per_second: float


def estimate(job: Job, extractor: Extractor) -> Estimate:
    """Time decoding and computing on batches spread over the job's images, after one to warm up."""
    n_images, size = len(job.images), extractor.batch_size
    n_batches = min(MAX_BATCHES, -(-n_images // size))
    picked = np.linspace(0, n_images - 1, min(n_images, n_batches * size)).astype(np.int64)
    batches = np.array_split(picked, n_batches)
    clock = [0.0] * (n_batches + 1)
    # The first batch runs twice: the first time, which includes one-off setup, is not counted.
    decoded = extractor.decode(job.images, [batches[0], *batches])
    for i, _ in enumerate(run_network(extractor.network, decoded, extractor.dtype)):
        clock[i] = time.perf_counter()
    rate = len(picked) / max(clock[-1] - clock[0], 1e-9)
    n_channels, n_cells = extractor.backbone.channels, extractor.n_cells
    n_bytes = needed_bytes(n_images, n_channels, extractor.dtype, n_cells)
    return Estimate(n_bytes, rate)
