"""Tiny runs, trained for real."""

from pathlib import Path

import pytest
from frostgrid.train.cli import train_head


@pytest.fixture(scope="session")
def runs(
    tiny_set: tuple[Path, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A run folder of each of some heads, by the head's name."""
    root, files = tiny_set
    folder = tmp_path_factory.mktemp("runs")
    for head in ("san", "mean-embed", "question-only", "show-attend-tell", "rnn-decoder"):
        features = [] if head == "question-only" else [f"--features={file}" for file in files]
        arguments = [head, "--data", str(root), *features, "--out", str(folder / head)]
        arguments += ["--epochs", "2", "--batch-size", "8", "--min-word-count", "1"]
        train_head.main([*arguments, "--device", "cpu", "--amp", "off"], standalone_mode=False)
    return {path.name: path for path in folder.iterdir()}
