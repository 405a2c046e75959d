"""Files that are written while they are read, and archives that hold too much."""

import gzip
import io
import os

import pytest
from frostgrid.datasets import file_bytes
from frostgrid.datasets.file_bytes import open_unchanged, read_whole
from frostgrid.datasets.formats import read_bytes
from frostgrid.errors import InputError


def read_and(change, path):
    with open_unchanged(path) as file:
        change()
        return file.read()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "list.json").write_bytes(b"[]")
    return tmp_path / "list.json"


def test_a_file_that_is_written_while_it_is_read_is_refused(path):
    message = r"list.json: changed while it was being read; run again when nothing writes to it"
    for change in (
        lambda: path.write_bytes(b"longer"),
        lambda: os.utime(path, ns=(1, 1)),  # of the same length
        lambda: os.truncate(path, 1),
    ):
        path.write_bytes(b"[]")
        with pytest.raises(InputError, match=message):
            read_and(change, path)


def test_another_file_of_the_same_name_is_no_matter(path):
    other = path.with_name("other")
    other.write_bytes(b"[1]")
    assert read_and(lambda: os.replace(other, path), path) == b"[]"
    assert read_whole(path) == b"[1]"


def test_archives_are_unpacked_up_to_a_limit(path, monkeypatch):
    path.write_bytes(gzip.compress(b"1" * 1000) + gzip.compress(b"2" * 1000))  # two members
    monkeypatch.setattr(file_bytes, "MOST_UNPACKED_BYTES", 2000)
    assert read_bytes(path) == b"1" * 1000 + b"2" * 1000
    monkeypatch.setattr(file_bytes, "MOST_UNPACKED_BYTES", 1999)
    with pytest.raises(
        InputError, match=r"list.json: a gzip file of \d+ bytes whose content takes"
    ):
        read_bytes(path)


def test_archives_that_memory_cannot_hold_are_one_sentence(path, monkeypatch):
    path.write_bytes(gzip.compress(b"1" * 1000))

    class Full:
        def tell(self):
            return 0

        def write(self, chunk):
            raise MemoryError

    class Io:
        @staticmethod
        def BytesIO(data=None):
            return Full() if data is None else io.BytesIO(data)

    monkeypatch.setattr(file_bytes, "io", Io)
    with pytest.raises(InputError, match="than there is memory"):
        read_bytes(path)
