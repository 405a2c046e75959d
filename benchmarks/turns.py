"""Contenders in processes of their own, which take steps in turns."""

import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import psutil
import torch

from .peers.training import Contender

PEAK_SIZE = 2048
# Batches differ in shape, and what the first ones make is kept: memory, and compiled products.
WARM_SECONDS, WARM_STEPS = 10.0, 3


def processor_seconds() -> float:
    """Of this process and of those that it has started."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def run_steps(contender: Contender, steps: int, warm: int = 1) -> tuple[float, float, int]:
    """Wall and processor seconds, and texts, of some steps after the first ones."""
    batches = contender.batches()
    for _ in range(warm):
        contender.step(next(batches))
    start, used, n = time.perf_counter(), processor_seconds(), 0
    for _ in range(steps):
        batch = next(batches)
        contender.step(batch)
        n += contender.n_items(batch)
    return time.perf_counter() - start, processor_seconds() - used, n


def time_products(repeats: int = 3) -> tuple[float, float]:
    """Wall and processor seconds a FLOP of a large product of bfloat16 matrices."""
    a = torch.ones(PEAK_SIZE, PEAK_SIZE, dtype=torch.bfloat16)
    start, used = time.perf_counter(), processor_seconds()
    for _ in range(repeats):
        a @ a
    n = repeats * 2 * PEAK_SIZE**3
    return (time.perf_counter() - start) / n, (processor_seconds() - used) / n


class Side:
    """Contenders that share a process."""

    def __init__(self, contenders: list[Contender]) -> None:
        self.contenders = {contender.name: contender for contender in contenders}
        self.warm: set[str] = set()

    def names(self) -> list[str]:
        """Who is here."""
        return list(self.contenders)

    def run(self, name: str, steps: int) -> tuple[float, float, int]:
        """See ``run_steps``; the first time, after ``WARM_SECONDS`` of steps."""
        contender = self.contenders[name]
        if name not in self.warm:
            self.warm.add(name)
            start, batches = time.perf_counter(), contender.batches()
            while time.perf_counter() < start + WARM_SECONDS:
                contender.step(next(batches))
        return run_steps(contender, steps, WARM_STEPS)


class Elsewhere:
    """A side in a new process, whose methods are called as if it were here."""

    def __init__(self, make: Callable[..., Side], *given: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # Not a daemon: peers start loader processes of their own.
        self._process = context.Process(target=_serve, args=(theirs, make, given))
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the method returned."""
        self._pipe.send((method, arguments))
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(pipe: Any, make: Callable[..., Side], given: tuple[Any, ...]) -> None:
    side = make(*given)
    pipe.send("ready")
    while (call := pipe.recv()) is not None:
        method, arguments = call
        pipe.send(getattr(side, method)(*arguments))
