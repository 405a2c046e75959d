"""Tiny runs, trained for real."""

from pathlib import Path

import pytest
from reference.runs import run_head

SMALL = ("--epochs", "2", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")


@pytest.fixture(scope="session")
def runs(
    tiny_set: tuple[Path, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A run folder of each of some heads, by the head's name."""
    folder = tmp_path_factory.mktemp("runs")
    for head in ("san", "mean-embed", "question-only", "show-attend-tell", "rnn-decoder"):
        run_head(head, tiny_set, folder / head, *SMALL)
    return {path.name: path for path in folder.iterdir()}
