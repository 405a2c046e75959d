import pytest
from frostgrid.atomic import atomic_write, write_bytes


@pytest.mark.parametrize("alone", [False, True])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path, alone):
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path, alone) as part:
            part.write_text("ne")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_appears_whole(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_two_writers_do_not_meet(tmp_path):
    with atomic_write(tmp_path / "file") as one, atomic_write(tmp_path / "file") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "file").read_text() == "one"  # the last to be whole


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path, alone=True) as part:
        part.write_text("old")
    part.write_text("left")
    with atomic_write(path, alone=True) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_that_the_user_knows_is_told(tmp_path):
    path = tmp_path / "nowhere" / "scores.json"
    with pytest.raises(FileNotFoundError) as refused:
        write_bytes(path, b"")
    assert refused.value.filename == str(path)
