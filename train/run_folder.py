"""The run folder: what a training run leaves behind, and reading it again."""

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

from torch import nn

from .. import __version__
from ..atomic import write_bytes
from ..errors import InputError
from .config import RunConfig


class RunFolder:
    """Names and writes the files of one run: see ``docs/run-folder.md``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.vocabulary = path / "vocabulary.json"
        self.metrics = path / "metrics.jsonl"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.predictions = path / "preds.json"
        self.summary = path / "summary.json"

    def check_free(self) -> None:
        """Raise ``InputError`` if a run is in the folder already."""
        if self.config.exists():
            raise InputError(
                f"{self.path}: holds a run already; go on with it by --resume "
                f"{quote(str(self.path))}, or choose another --out."
            )

    def create(self, config: RunConfig, vocabulary: dict[str, list[str]]) -> None:
        """Make the folder; raises ``InputError`` if a run is in it already."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.vocabulary, vocabulary)
        self.write_config(config)

    def write_config(self, config: RunConfig) -> None:
        """Write ``config.json``."""
        write_json(self.config, {**asdict(config), "frostgrid": __version__})

    def read_config(self) -> RunConfig:
        """Read ``config.json``; raises ``InputError`` when it is missing or not one."""
        fields = read_json(self.config, "train a head first, or name the folder of a run")
        if isinstance(fields, dict):
            fields.pop("frostgrid", None)
        try:
            return RunConfig.of_fields(fields)
        except InputError as error:
            raise InputError(
                f"{self.config}: not the config of a run of this version: {error}; put the right "
                "file back, or train the run again."
            ) from error

    def read_vocabulary(self) -> dict[str, list[str]]:
        """Read ``vocabulary.json``: ``words`` and, for VQA, ``answers``."""
        vocabulary: dict[str, list[str]] = read_json(self.vocabulary, "train the run again")
        return vocabulary

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Add an epoch's line to ``metrics.jsonl``."""
        with open(self.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def write_summary(
        self, best_epoch: int, best_score: float, shuffled_score: float, head: nn.Module
    ) -> None:
        """Write ``summary.json``: the best epoch, and its score with the images exchanged."""
        summary = {
            "best_epoch": best_epoch,
            "best_score": best_score,
            "shuffled_score": shuffled_score,
            "parameters": sum(p.numel() for p in head.parameters()),
        }
        write_json(self.summary, summary)

    def keep_epochs(self, n: int) -> None:
        """Drop lines of epochs after the first ``n``, which a resumed run will write again."""
        if not self.metrics.exists():
            return
        lines = [json.loads(line) for line in self.metrics.read_text("utf-8").splitlines() if line]
        kept = [json.dumps(line) + "\n" for line in lines if line["epoch"] <= n]
        write_bytes(self.metrics, "".join(kept).encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file; raises ``InputError`` with the remedy."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}); {remedy}.") from error


def next_free(folder: Path, name: str) -> Path:
    """``folder/name``, or the first of ``name-2``, ``name-3`` … that no run has taken."""
    number, path = 1, folder / name
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path
