"""Timing alternatives side by side, in turns, so that a busy moment hurts all of them alike."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of one alternative: the median of ``n`` rounds, their quartiles and the best."""

    median: float
    low: float
    high: float
    best: float
    n: int


def time_in_turns(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Call every case once to warm it up, then all in turns, ``rounds`` times."""
    for call in cases.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, call in cases.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: _timing(found) for name, found in seconds.items()}


def _timing(seconds: list[float]) -> Timing:
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Timing(median, low, high, min(seconds), len(seconds))


def print_table(title: str, timings: dict[str, Timing], ours: str, n_bytes: int = 0) -> None:
    """Print a Markdown table; the ratio is of an alternative's median to ours."""
    print(f"\n**{title}** (n = {timings[ours].n}, in turns)\n")
    speed = " GB/s |" if n_bytes else ""
    print(f"| | median ms | quartiles | best | times ours |{speed}")
    print("|---|---|---|---|---|" + ("---|" if n_bytes else ""))
    for name, t in timings.items():
        ratio = t.median / timings[ours].median
        moved = f" {n_bytes / t.median / 1e9:.1f} |" if n_bytes else ""
        print(
            f"| {name} | {t.median * 1e3:.2f} | {t.low * 1e3:.2f}–{t.high * 1e3:.2f} "
            f"| {t.best * 1e3:.2f} | {ratio:.2f} |{moved}"
        )


def machine() -> str:
    """What the figures were measured on."""
    return (
        f"{_processor()}, {torch.get_num_threads()} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, numpy {np.__version__}, numba {numba.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
