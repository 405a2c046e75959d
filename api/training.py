"""``train-head`` from Python."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..console import call_command
from .run import Run, load


def train_head(
    head: str,
    *,
    data: str | Path | None = None,
    features: str | Path | Iterable[str | Path] | None = None,
    out: str | Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    **options: Any,
) -> Run:
    """Train a head as ``train-head`` does, printing what it prints, and load its best epoch.

    ``head``: ``"san"``, ``"show-attend-tell"``, …. ``data``: a data set's name or folder.
    ``features``: the feature files of its splits. ``out``: the run folder, which must not hold a
    run. Every other option of ``train-head --help`` is taken by its name with underscores, as in
    ``batch_size=64, no_control=True``; what is left out has the command's default.

    Raises ``InputError`` for what the command refuses, and ``KeyboardInterrupt`` when it was
    stopped by Ctrl-C or SIGTERM (``train-head --resume`` goes on from there).
    """
    from ..train.cli import train_head as command

    options |= {"data": data, "out": out, "epochs": epochs, "seed": seed, "device": device}
    if isinstance(features, str | Path):
        features = [features]
    options["features"] = None if features is None else list(features)
    try:
        folder: Path = call_command(command, head, **options)
    except SystemExit:
        raise KeyboardInterrupt from None
    return load(folder, device=device)
