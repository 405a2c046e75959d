"""Work that is done ahead of its use, by a thread."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def read_ahead(makers: Iterator[Callable[[], T]], depth: int = 2) -> Iterator[T]:
    """Call the makers in order in a thread, at most ``depth`` results ahead of what is used."""
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> None:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for make in makers:
                if stop.is_set():
                    return
                put("item", make())
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


class Waited(Generic[T]):
    """An iterator that counts the seconds spent waiting for its source."""

    def __init__(self, source: Iterator[T]) -> None:
        self.source, self.seconds = source, 0.0

    def __iter__(self) -> Iterator[T]:
        while True:
            started = time.perf_counter()
            item = next(self.source, None)
            self.seconds += time.perf_counter() - started
            if item is None:
                return
            yield item
