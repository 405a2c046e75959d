"""The tests that use a GPU."""

import subprocess
import sys

from .record import Bench

WHERE = [
    "tests/models/kernels",
    "tests/models/layers",
    "tests/train/steps",
    "tests/test_devices.py",
]


def run(bench: Bench, where: list[str] = WHERE) -> None:
    """Say how they ended."""
    workers = ["-n", "8"] if bench.is_gpu else []
    command = [sys.executable, "-m", "pytest", "-q", *workers, "-p", "no:cacheprovider", *where]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or ["nothing was said"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    bench.say(" ".join(where), "; ".join([lines[-1], *failed[:10]]))
