import numpy as np
import pytest
from frostgrid.datasets.cache import cached_arrays, string_array, strings_of
from frostgrid.datasets.cache_folder import cache_folder
from frostgrid.datasets.formats import Questions, decode, read_source
from frostgrid.errors import InputError

pytestmark = pytest.mark.usefixtures("empty_cache")


class Build:
    """Counts how often the arrays are built."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"x": np.arange(5, dtype=np.int32), "words": string_array(["é", "b"])}


def test_built_once_for_a_key(empty_cache):
    build = Build()
    for _ in range(2):
        arrays = cached_arrays("kind", [1, {"a": None}], build)
        assert arrays["x"].tolist() == [0, 1, 2, 3, 4]
        assert arrays["x"].dtype == np.int32
        assert strings_of(arrays["words"]) == ["é", "b"]
    assert build.times == 1
    cached_arrays("kind", [2, {"a": None}], build)
    assert build.times == 2
    assert len(list(empty_cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "flipped"])
def test_damaged_file_is_built_anew(empty_cache, damage):
    build = Build()
    cached_arrays("kind", [1], build)
    (path,) = empty_cache.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[data.index(np.arange(5, dtype=np.int32).tobytes()) + 4] ^= 255
    changed = {"empty": b"", "short": data[: len(data) // 2], "noise": b"x" * 99, "flipped": data}
    path.write_bytes(changed[damage])
    assert cached_arrays("kind", [1], build)["x"].tolist() == [0, 1, 2, 3, 4]
    assert build.times == 2
    cached_arrays("kind", [1], build)
    assert build.times == 2


def test_pickled_content_is_never_loaded(empty_cache):
    build = Build()
    cached_arrays("kind", [1], build)
    (path,) = empty_cache.iterdir()
    np.savez(path, x=np.array([{"an": "object"}], dtype=object))
    assert cached_arrays("kind", [1], build)["x"].tolist() == [0, 1, 2, 3, 4]
    assert build.times == 2


def test_folder_that_cannot_be_written_costs_no_more_than_time(empty_cache):
    empty_cache.write_text("a file where the folder should be")
    build = Build()
    assert cached_arrays("kind", [1], build)["x"].tolist() == [0, 1, 2, 3, 4]
    cached_arrays("kind", [1], build)
    assert build.times == 2


def test_what_is_parsed_is_what_was_hashed(tmp_path):
    path = tmp_path / "train_questions.json"
    path.write_text('{"questions": []}')
    source = read_source(path)
    path.write_text("{}")  # replaced in between
    assert source.sha256 == "81e13f9e715dadcd0267d7ea5a760afc50e26c8ea944b1aa252207cd31e1df56"
    assert decode(source, Questions).questions == []
    with pytest.raises(InputError, match="holds an object with no keys, which does not fit here"):
        decode(path, Questions)


def test_folder_defaults_to_the_users_cache(monkeypatch):
    monkeypatch.delenv("FROSTGRID_CACHE")
    assert cache_folder().name == "frostgrid"
