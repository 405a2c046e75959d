"""What ``import frostgrid`` offers, and what it does not import for it."""

import subprocess
import sys
from pathlib import Path

import frostgrid
import pytest

HEAVY = ("torch", "numba", "numpy", "h5py", "PIL", "msgspec", "click", "matplotlib")


def modules_after(code: str) -> set[str]:
    """The heavy modules that a new process has after running the code."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {*done.stdout.split()} & {*HEAVY}


def test_the_import_and_its_names_cost_nothing() -> None:
    assert modules_after("import frostgrid; dir(frostgrid); frostgrid.InputError") == set()
    assert not modules_after("import frostgrid; frostgrid.open_features") & {"torch", "numba"}
    assert not modules_after(
        "import frostgrid; frostgrid.score_vqa({1: 'a'}, {1: ['a'] * 10})\n"
        "frostgrid.score_captions({1: 'a'}, {1: ['a b']})"
    ) & {"torch", "numba", "PIL", "h5py"}


@pytest.mark.parametrize("name", frostgrid.__all__)
def test_every_name_is_there_documented_and_listed(name: str) -> None:
    value = getattr(frostgrid, name)
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
    assert f"`{name}" in page or f"frostgrid.{name}" in page
    assert name in dir(frostgrid)
    assert name == "__version__" or value.__doc__


def test_what_type_checkers_read_is_what_there_is() -> None:
    """The names of ``__all__``, of the imports for type checkers and of the lazy ones agree."""
    source = Path(frostgrid.__file__).read_text("utf-8")
    block = source.partition("if TYPE_CHECKING:")[2].partition("_MODULES")[0]
    for name in set(frostgrid.__all__) - {"__version__", "featurize"}:
        module = frostgrid._MODULES[name]
        assert f"from .{module} import {name} as {name}\n" in block
        assert getattr(frostgrid, name).__module__ == f"frostgrid.{module}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        frostgrid.lod  # type: ignore[attr-defined]  # noqa: B018


def test_the_package_featurize_can_be_called_whoever_imported_it() -> None:
    code = "import frostgrid; print(callable(frostgrid.featurize))"
    for first in ("", "import frostgrid.featurize.cli; ", "from frostgrid import featurize; "):
        done = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True)
        assert done.stdout == "True\n"
