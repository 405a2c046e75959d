"""The tests, those that have CUDA tensors first."""

import subprocess
import sys

from .record import Bench

FIRST = [
    "tests/models/kernels",
    "tests/train/steps",
    "tests/models/layers",
    "tests/test_devices.py",
]


def run(bench: Bench) -> None:
    """Say how they ended."""
    rest = ["tests"] if bench.is_gpu else []
    for what, where in (("tests of kernels and steps", FIRST), ("all tests", rest)):
        if not where:
            continue
        workers = ["-n", "8"] if bench.is_gpu else []
        command = [sys.executable, "-m", "pytest", "-q", *workers, "-p", "no:cacheprovider", *where]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines() or ["nothing was said"]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        bench.say(what, "; ".join([lines[-1], *failed[:10]]))
