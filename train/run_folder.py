"""The run folder: what a training run leaves behind, and reading it again."""

import errno
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any

import filelock
import msgspec

from .. import __version__
from ..atomic import write_bytes
from ..errors import InputError
from .data.digests import digest
from .settings.config import RunConfig

# Of our own atomic writes, and of safetensors' in older versions.
_LEFTOVER = re.compile(r"\..*\.tmp|\.tmp[A-Za-z0-9]{6}")


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
        self.lock = filelock.FileLock(path / ".lock", timeout=0)

    def check_free(self) -> None:
        """Raise ``InputError`` if a run is in the folder already."""
        if self.config.exists():
            raise InputError(
                f"{self.path}: holds a run already; go on with it by --resume "
                f"{quote(str(self.path))}, or choose another --out."
            )

    def create(self, config: RunConfig, vocabulary: dict[str, list[str]]) -> None:
        """Begin a run in the folder; raises ``InputError`` if one is in it already."""
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
        """Read ``vocabulary.json``: ``words`` and, for VQA, ``answers``.

        Raises ``InputError`` when it is missing, or not what the run wrote.
        """
        remedy = "put the right file back, or train the run again"
        found = read_json(self.vocabulary, remedy)
        try:
            vocabulary = msgspec.convert(found, dict[str, list[str]])
            words, answers = vocabulary["words"], vocabulary.get("answers", [])
        except (msgspec.ValidationError, KeyError) as error:
            raise InputError(
                f"{self.vocabulary}: not the vocabulary of a run ({error}); {remedy}."
            ) from error
        recorded = self.read_config().digests.get("vocabulary")
        if recorded not in (None, digest(words, answers)):
            raise InputError(
                f"{self.vocabulary}: not the words that the run was trained with; {remedy}."
            )
        return vocabulary

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Add an epoch's line to ``metrics.jsonl``: all of it or, if the disk is full, nothing."""
        line = (json.dumps(metrics) + "\n").encode()
        with open(self.metrics, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                if (n_written := file.write(line)) != len(line):
                    raise OSError(errno.ENOSPC, f"{n_written} of {len(line)} bytes written")
                os.fsync(file.fileno())
            except OSError as error:
                with suppress(OSError):
                    file.truncate(size)
                error.filename = str(self.metrics)
                raise

    def write_summary(self, **values: Any) -> None:
        """Write ``summary.json``, or add to it."""
        before = {}
        if self.summary.exists():
            before = read_json(self.summary, "remove it, and resume the run")
        write_json(self.summary, {**before, **values})

    def keep_epochs(self, n: int) -> str:
        """Drop lines of epochs after the first ``n``, which a resumed run will write again.

        Lines that are not whole go too; returns what to say of them, "" if there are none.
        """
        if not self.metrics.exists():
            return ""
        epochs, broken = read_metrics(self.metrics)
        kept = [json.dumps(epoch) + "\n" for epoch in epochs if epoch["epoch"] <= n]
        write_bytes(self.metrics, "".join(kept).encode())
        if not broken:
            return ""
        return (
            f"{self.metrics}: line {', '.join(map(str, broken))} was not written whole and is "
            "dropped"
        )

    def take_lock(self) -> None:
        """Keep every other process from training in this folder; see :meth:`release_lock`.

        The lock lives in a hidden file and ends with the process, however that ends. What killed
        processes left half written is removed. Raises ``InputError`` if another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire()
        except filelock.Timeout:
            raise InputError(
                f"{self.path}: another process is training in this folder; wait for it to end, or "
                "choose another --out."
            ) from None
        for leftover in self.path.iterdir():
            if _LEFTOVER.fullmatch(leftover.name):
                leftover.unlink()

    def release_lock(self) -> None:
        """Let others train in this folder, if this process has the lock."""
        self.lock.release()


def read_metrics(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The epochs in a ``metrics.jsonl``, and the numbers of the lines that are not whole.

    A full disk or a power cut can leave such a line.
    """
    epochs, broken = [], []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            epoch = json.loads(line)
            whole = line.endswith(b"\n") and type(epoch["epoch"]) is int
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if whole:
            epochs.append(epoch)
        elif line.strip():
            broken.append(number)
    return epochs, broken


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file; raises ``InputError`` with the remedy."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); {remedy}.") from error


def next_free(folder: Path, name: str) -> Path:
    """``folder/name``, or the first of ``name-2``, ``name-3`` … that no run has taken."""
    number, path = 1, folder / name
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path
