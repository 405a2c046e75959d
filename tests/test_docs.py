"""What the documents say of the source is true."""

import ast
import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import frostgrid
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = Path(frostgrid.__file__).parent
DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_source_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text)
    folders = re.findall(r"`((?:[a-z_]+/)+)`", text) if document.name == "architecture.md" else []
    missing = [
        name
        for name in {*named, *folders}
        if not any((top / name).exists() for top in (ROOT, PACKAGE))
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]


def read_table() -> dict[str, list[str]]:
    """Folder -> the folders that it may import, from the table of architecture.md, in its order."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table: dict[str, list[str]] = {}
    for folder, column in re.findall(r"^\| `([a-z_/]+)/` \|.*\|([^|]*)\|$", text, re.MULTILINE):
        above = list(table) if "all above" in column else []
        table[folder] = above + re.findall(r"`([a-z_/]+)`", column)
    return table


TABLE = read_table()


def list_sources(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).glob("*.py"))


def list_imports(source: Path) -> Iterator[tuple[str, str]]:
    """Folder ("" for a library, "." for the root) and name of everything that a file imports."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (("", alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield "", str(node.module).partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            module = source.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                path = module / alias.name if module.is_dir() else module
                folder = path if path.is_dir() else path.parent
                yield str(folder.relative_to(PACKAGE)), path.name


def test_the_table_has_every_folder() -> None:
    top = {folder.partition("/")[0] for folder in TABLE}
    inits = [init for name in top for init in (PACKAGE / name).rglob("__init__.py")]
    assert set(TABLE) == {str(init.parent.relative_to(PACKAGE)) for init in inits}


@pytest.mark.parametrize("folder", TABLE)
def test_a_folder_imports_what_the_table_allows(folder: str) -> None:
    def is_allowed(imported: str, name: str) -> bool:
        if imported == ".":
            return name not in ("cli", "demo") and not folder.startswith("models")
        # A folder that is named stands for those in it too, unless the importer is one of these.
        return imported in ("", folder, *TABLE[folder]) or any(
            imported.startswith(f"{known}/") and not folder.startswith(f"{known}/")
            for known in TABLE[folder]
        )

    wrong = [
        f"{source.name} imports {name} of {imported}"
        for source in list_sources(folder)
        for imported, name in list_imports(source)
        if not is_allowed(imported, name)
    ]
    assert not wrong


def test_the_table_points_upwards() -> None:
    """Between folders of the root; folders inside of one may import each other."""
    top = list(dict.fromkeys(folder.partition("/")[0] for folder in TABLE))
    for folder, allowed in TABLE.items():
        row = top.index(folder.partition("/")[0])
        assert all(top.index(known.partition("/")[0]) <= row for known in allowed)


def test_libraries_stay_where_the_page_says() -> None:
    for folder in TABLE:
        for source in list_sources(folder):
            libraries = {name for imported, name in list_imports(source) if not imported}
            if "click" in libraries:
                assert source.stem.endswith("cli")
            if "torch" in libraries:
                assert folder.partition("/")[0] not in ("datasets", "evaluate")


def test_every_folder_of_the_map_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    folders = {"frostgrid." + folder.replace("/", ".") for folder in read_table()}
    assert {"frostgrid", *folders} == set(setup["options"]["packages"].split())
