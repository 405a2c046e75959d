"""How long an extraction will take and how large it gets, from a few batches of its own images."""

import time
from dataclasses import dataclass
from itertools import count

import numpy as np

from .decoding import decode_batches
from .extract import Extractor, run_network
from .file.writer import needed_bytes
from .prepare import Job

MAX_BATCHES = 4


@dataclass(frozen=True)
class Estimate:
    """What to expect: bytes of the file and images a second."""

    n_bytes: int
    images_per_second: float


def estimate(job: Job, extractor: Extractor) -> Estimate:
    """Time some batches spread over the job's images, all but the writing, after one to warm up."""
    n_images, size = len(job.images), extractor.batch_size
    n_batches = min(MAX_BATCHES, -(-n_images // size))
    picked = np.linspace(0, n_images - 1, min(n_images, n_batches * size)).astype(np.int64)
    batches = np.array_split(picked, n_batches)
    clock = [0.0] * (n_batches + 1)
    # The first batch counts only if it is the only one: it pays for what is set up once.
    decoded = decode_batches(
        job.images, [batches[0], *batches], extractor.preprocessing, extractor.workers
    )
    for place, _ in zip(count(), run_network(extractor.network, decoded), strict=False):
        clock[place] = time.perf_counter()
    rate = len(picked) / max(clock[-1] - clock[0], 1e-9)
    n_channels, n_cells = extractor.backbone.channels, extractor.n_cells
    n_bytes = needed_bytes(n_images, n_channels, extractor.dtype, n_cells)
    return Estimate(n_bytes, rate)
