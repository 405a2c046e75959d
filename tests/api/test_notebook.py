"""The notebook of the documents runs, and was run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    found = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_its_cells_run_one_after_the_other(
    cells: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["answer"]._repr_png_()
    assert 0 <= names["scores"]["cider"] <= 10


def test_its_outputs_are_those_of_one_run_and_name_no_machine(cells: list[dict[str, Any]]) -> None:
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    text = json.dumps([cell["outputs"] for cell in cells])
    assert not re.search(r"/(home|root|tmp|work|opt|Users|mnt)/", text)
    assert not re.search("Traceback|Error:", text)
    assert NOTEBOOK.stat().st_size < 300_000
