"""Which decoder an extraction takes: the GPU's or the CPU's."""

import torch

from ...errors import InputError
from ..file.reader import open_features
from ..jobs import FeaturizeOptions, Job
from .nvjpeg import why_unavailable


def choose_decoder(options: FeaturizeOptions, jobs: list[Job], device: torch.device) -> str:
    """``gpu`` or ``cpu``: as asked for, else as in a file that is there, else as the device can.

    Raises ``InputError`` if that is the GPU and it cannot.
    """
    unable = why_unavailable(device)
    if options.draft:
        unable = "--draft is Pillow's alone"
    wanted, by = options.decode, "--decode gpu"
    for job in jobs if wanted == "auto" and not options.overwrite else []:
        if job.out.exists():
            file = open_features(job.out)
            wanted, by = str(file.identity()["decode"]), f"{job.out}: was made with --decode gpu"
            if wanted == "gpu" and unable and all(is_finished(each) for each in jobs):
                return wanted  # nothing is decoded
            break
    if wanted == "gpu" and unable:
        raise InputError(
            f"{by}, which cannot be had here: {unable}; take --decode cpu (in a file of its own), "
            "or a machine with a CUDA device."
        )
    return wanted if wanted != "auto" else ("cpu" if unable else "gpu")


def is_finished(job: Job) -> bool:
    """Whether the job's file is there and whole."""
    return job.out.exists() and open_features(job.out).is_complete
