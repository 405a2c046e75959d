import os

import pytest
from frostgrid import atomic
from frostgrid.featurize.file.positioned import flush, open_binary, read_at, write_at

LINUX, MACOS, WINDOWS = (), ("fdatasync",), ("fdatasync", "pwrite", "preadv")


@pytest.mark.parametrize("missing", [LINUX, MACOS, WINDOWS])
def test_bytes_are_read_where_they_were_written(missing, tmp_path, monkeypatch):
    for name in missing:
        monkeypatch.delattr(os, name)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    descriptor = open_binary(path, os.O_RDWR)
    try:
        assert write_at(descriptor, memoryview(b"ab"), 4) == 2
        assert write_at(descriptor, memoryview(b"z"), 0) == 1
        flush(descriptor)
        buffer = bytearray(4)
        assert read_at(descriptor, memoryview(buffer), 3) == 4
        assert bytes(buffer) == b"3ab6"
        assert read_at(descriptor, memoryview(buffer), 8) == 2
        assert read_at(descriptor, memoryview(buffer), 20) == 0
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"z123ab6789"


def test_a_folder_is_not_flushed_where_that_is_impossible(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"x")
    flushed = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(os, "name", "nt")
    atomic.sync(tmp_path)
    assert not flushed
    atomic.sync(file)
    assert len(flushed) == 1
