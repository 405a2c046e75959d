"""Results that survive a run that is cut: a line of JSON as soon as a number is known."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

LINES = "rows.jsonl"


@dataclass(frozen=True)
class Bench:
    """One part's run: where it computes, how large the data are, and where results go.

    ``work`` holds the feature files, and goes away at the end.
    """

    part: str
    folder: Path
    work: Path
    device: torch.device
    fraction: float
    started: float

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def say(self, what: str, measured: str) -> None:
        """Write and print a result."""
        row = {"part": self.part, "what": what, "measured": measured}
        with (self.folder / LINES).open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"[{time.time() - self.started:.0f} s] {what}: {measured}", flush=True)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Go on with the next measurement if one fails, and say how it failed."""
        try:
            yield
        except Exception as error:
            self.say(what, f"failed: {type(error).__name__}: {str(error).strip()[:300]}")
        if self.is_gpu:
            torch.cuda.empty_cache()

    def wait(self) -> None:
        """Wait for the device."""
        if self.is_gpu:
            torch.cuda.synchronize(self.device)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All results so far."""
    path = folder / LINES
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_table(folder: Path, about: str) -> str:
    """Write ``RESULTS.md`` from all results so far; returns its text."""
    lines = [about, "", "| part | what | measured |", "|---|---|---|"]
    lines += [
        f"| {row['part']} | {row['what']} | {row['measured'].replace('|', '/')} |"
        for row in read_rows(folder)
    ]
    text = "\n".join(lines) + "\n"
    (folder / "RESULTS.md").write_text(text)
    return text
