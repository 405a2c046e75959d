"""Runs of ``train-head`` as one types it, and what is in their folders."""

import json
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner
from frostgrid.train.checkpoint import read_tensors
from frostgrid.train.cli import train_head
from torch import Tensor


def run_head(
    head: str,
    some_set: tuple[Path, list[Path]],
    out: Path,
    *more: object,
    code: int = 0,
    control: bool = False,
) -> str:
    """Train a head on a set (its folder and its feature files); returns what was printed."""
    root, files = some_set
    features = [] if head == "question-only" else [f"--features={file}" for file in files]
    arguments = [head, "--data", root, *features, "--out", out, "--device", "cpu", *more]
    if not control and "--resume" not in more:
        arguments.append("--no-control")
    result = CliRunner().invoke(train_head, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def lines(out: Path) -> list[dict[str, Any]]:
    """The metrics of each epoch."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def final_state(out: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The last checkpoint, without the times that it took."""
    tensors, about = read_tensors(out / "last.safetensors")
    about["progress"] = {k: v for k, v in about["progress"].items() if "seconds" not in k}
    return tensors, about


def same_state(a: Path, b: Path) -> None:
    """Two runs have ended in the same state, to the last bit."""
    (mine, about), (theirs, other) = final_state(a), final_state(b)
    assert about == other
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
