"""What the documents name exists."""

import re
from pathlib import Path

import frostgrid
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_source_files_that_are_named_exist(document: Path) -> None:
    package = Path(frostgrid.__file__).parent
    text = document.read_text("utf-8")
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text)
    folders = re.findall(r"`((?:[a-z_]+/)+)`", text) if document.name == "architecture.md" else []
    missing = [
        name
        for name in {*named, *folders}
        if not any((top / name).exists() for top in (ROOT, package))
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]
