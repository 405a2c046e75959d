import subprocess
import sys

import pytest
from frostgrid.evaluate.numba_cache import ENVIRONMENT, choose_numba_cache, holds_kernels


@pytest.fixture
def fresh(monkeypatch, empty_cache):
    """As in a process that has not imported Numba; where its cache is to be."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.setenv(ENVIRONMENT, "")
    return empty_cache


def test_the_users_cache_folder_is_chosen(fresh):
    folder = choose_numba_cache()
    assert folder == fresh / "numba"
    assert folder.is_dir()
    assert not holds_kernels(folder)
    (folder / "x").mkdir()
    (folder / "x" / "ngram_kernels.f-1.nbi").touch()
    assert holds_kernels(folder)


def test_what_the_user_has_set_stays(fresh, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "elsewhere")
    assert choose_numba_cache() is None


def test_where_nothing_can_be_written_a_folder_of_the_run_is_made(fresh, monkeypatch):
    fresh.write_text("a file, not a folder")
    code = (
        "from frostgrid.evaluate.numba_cache import choose_numba_cache\n"
        "folder = choose_numba_cache()\n"
        "print(folder, folder.is_dir())"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    name, existed = found.stdout.rsplit(maxsplit=1)
    assert existed == "True"
    assert "frostgrid-numba-" in name
