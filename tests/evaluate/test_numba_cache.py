import os
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


def refuse(message):
    pytest.fail(f"nothing is to be said, but: {message}")


def test_the_users_cache_folder_is_chosen(fresh):
    folder = choose_numba_cache(refuse)
    assert folder == fresh / "numba"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not holds_kernels(folder)
    (folder / "x").mkdir()
    (folder / "x" / "ngram_kernels.f-1.nbi").touch()
    assert holds_kernels(folder)


def test_what_the_user_has_set_stays(fresh, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "elsewhere")
    assert choose_numba_cache(refuse) is None


def test_where_nothing_can_be_written_a_folder_of_the_run_is_made(fresh, monkeypatch):
    fresh.write_text("a file, not a folder")
    code = (
        "from frostgrid.evaluate.numba_cache import choose_numba_cache\n"
        "folder = choose_numba_cache(print)\n"
        "print(folder, folder.is_dir())"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    name, existed = found.stdout.rsplit(maxsplit=1)
    assert existed == "True"
    assert "frostgrid-numba-" in name


def test_an_open_umask_leaves_the_folders_closed(fresh):
    before = os.umask(0)
    try:
        assert choose_numba_cache(refuse) == fresh / "numba"
    finally:
        os.umask(before)
    assert fresh.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(fresh, mode, capsys):
    (fresh / "numba").mkdir(parents=True)
    (fresh / "numba").chmod(mode)
    folder = choose_numba_cache(print)
    assert folder not in (None, fresh / "numba")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert f"numba can be written by others (mode {mode:o}), who could" in capsys.readouterr().out


def test_a_shared_folder_above_is_used_only_if_it_is_sticky(fresh, monkeypatch, capsys):
    fresh.mkdir()
    fresh.chmod(0o777)
    assert choose_numba_cache(print) != fresh / "numba"
    assert "cache can be written by others (mode 777)" in capsys.readouterr().out
    monkeypatch.setenv(ENVIRONMENT, "")
    fresh.chmod(0o1777)
    assert choose_numba_cache(refuse) == fresh / "numba"


def test_another_users_folder_is_not_used(fresh, monkeypatch, capsys):
    (fresh / "numba").mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: os.stat(fresh).st_uid + 1)
    assert choose_numba_cache(print) != fresh / "numba"
    assert "numba belongs to another user" in capsys.readouterr().out


def test_a_folder_from_before_is_closed(fresh):
    (fresh / "numba").mkdir(parents=True)
    (fresh / "numba").chmod(0o755)
    assert choose_numba_cache(refuse) == fresh / "numba"
    assert (fresh / "numba").stat().st_mode & 0o777 == 0o700
