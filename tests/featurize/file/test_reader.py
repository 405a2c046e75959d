import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.featurize.file.layout import DONE, FAILED, columns
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.writer import RowWriter, create_file, needed_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import feature_files

PROVENANCE = {**feature_files.PROVENANCE, "grid": np.array([14, 14])}


def make_file(path: Path, ids: list[int], dtype: str = "float16") -> dict[str, np.ndarray]:
    """A finished file of random values; returns what was written."""
    names = [f"sub dir/ü {i}\n.png" for i in ids]
    create_file(path, {**PROVENANCE, "dtype": dtype}, np.array(ids, np.int64), names)
    rng = np.random.default_rng(0)
    written = {}
    for column in columns(8, dtype):
        if column.name not in ("image_id", "error", "status", "row_crc32"):
            values = rng.random((len(ids), *column.row_shape)) * 100
            written[column.name] = values.astype(column.dtype)
    written = feature_files.complete(
        written, np.array(ids, np.int64), np.full(len(ids), DONE, np.uint8)
    )
    with RowWriter(path) as writer:
        for name, values in written.items():
            writer.write(name, np.arange(len(ids)), values)
        writer.sync()
    return written


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_maps_and_h5py_read_what_was_written(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "f.h5"
    written = make_file(path, [5, 3, 9], dtype)
    features = open_features(path)
    assert features.grid.shape == (3, 196, 8)
    assert features.grid.dtype == dtype
    assert features.pooled.shape == (3, 8)
    assert (features.scale is not None) == (dtype == "uint8")
    assert features.is_complete
    with h5py.File(path) as file:
        assert file["grid"].chunks is None
        assert file["grid"].id.get_offset() % 4096 == 0
        for name in written.keys() - {"status"}:
            assert np.array_equal(file[name][:], written[name]), name
            assert np.array_equal(features.columns[name], written[name]), name
        assert list(file["file_name"].asstr()) == features.file_name
    assert features.file_name[0] == "sub dir/ü 5\n.png"
    assert features.image_id.tolist() == [5, 3, 9]
    assert features.provenance["grid"] == [14, 14]
    assert features.identity()["weights_sha256"] == "0" * 64


def test_size_is_as_foretold(tmp_path: Path) -> None:
    create_file(tmp_path / "f.h5", PROVENANCE, np.arange(40), [str(i) for i in range(40)])
    size = (tmp_path / "f.h5").stat().st_size
    assert 0 <= size - needed_bytes(40, 8, "float16") < 70_000


def test_rows_are_found_by_id(tmp_path: Path) -> None:
    make_file(tmp_path / "f.h5", [5, 3, 9, -1])
    features = open_features(tmp_path / "f.h5")
    assert features.rows(np.array([[9, 5], [5, -1]])).tolist() == [[2, 0], [0, 3]]
    assert features.rows(np.array([], np.int64)).shape == (0,)


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=30))
def test_rows_equal_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "f.h5"
    make_file(path, ids)
    asked = np.array(ids[::-1] + ids[:1], np.int64)
    assert open_features(path).rows(asked).tolist() == [ids.index(i) for i in asked.tolist()]


@pytest.mark.parametrize(
    ("status", "message"),
    [(0, "not extracted yet; run `featurize` again"), (FAILED, "failed to be extracted")],
)
def test_rows_that_cannot_be_had(tmp_path: Path, status: int, message: str) -> None:
    written = make_file(tmp_path / "f.h5", [5, 3, 9])
    statuses = np.array([DONE, status, DONE], np.uint8)
    with RowWriter(tmp_path / "f.h5") as writer:
        for name, values in feature_files.complete(written, np.array([5, 3, 9]), statuses).items():
            writer.write(name, np.arange(3), values)
    features = open_features(tmp_path / "f.h5")
    with pytest.raises(InputError, match=r"1 of the images asked for \(3\) (are )?" + message):
        features.rows(np.array([5, 3]))
    assert features.rows(np.array([9])).tolist() == [2]


def test_unknown_ids_are_named(tmp_path: Path) -> None:
    make_file(tmp_path / "f.h5", [5, 3, 9])
    with pytest.raises(InputError, match=r"6 of the images asked for \(10, 11, 12, 13, 14, …\)"):
        open_features(tmp_path / "f.h5").rows(np.array([5, *range(10, 16)]))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    create_file(tmp_path / "f.h5", PROVENANCE, np.zeros(0, np.int64), [])
    features = open_features(tmp_path / "f.h5")
    assert features.grid.shape == (0, 196, 8)
    with pytest.raises(InputError, match="holds no image"):
        features.rows(np.array([1]))


def test_pickles_as_its_path(tmp_path: Path) -> None:
    written = make_file(tmp_path / "f.h5", [5, 3])
    data = pickle.dumps(open_features(tmp_path / "f.h5"))
    assert len(data) < 500
    assert np.array_equal(pickle.loads(data).grid, written["grid"])


def _sum_in_child(features: Any) -> float:
    return float(features.grid.astype(np.float64).sum())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork is what is tested
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(tmp_path: Path, method: str) -> None:
    written = make_file(tmp_path / "f.h5", [5, 3])
    features = open_features(tmp_path / "f.h5")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_sum_in_child, (features,)) == written["grid"].astype(np.float64).sum()


def test_messages_of_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.h5: no such file"):
        open_features(tmp_path / "a.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(InputError, match=r"text\.h5: is text, not a feature file"):
        open_features(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(InputError, match="not a feature file"):
        open_features(tmp_path / "other.h5")
    create_file(tmp_path / "new.h5", {**PROVENANCE, "version": 99}, np.arange(1), ["a"])
    with pytest.raises(InputError, match="version 99"):
        open_features(tmp_path / "new.h5")


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_off_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "f.h5"
    make_file(path, list(range(50)))
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * keep))
    with pytest.raises(InputError, match=r"f\.h5: .*--overwrite"):
        open_features(path)


def test_runs_of_rows_are_written_where_they_belong(tmp_path: Path) -> None:
    make_file(tmp_path / "f.h5", list(range(10)))
    before = np.array(open_features(tmp_path / "f.h5").grid)
    rows = np.array([0, 1, 4, 6, 7, 9])
    values = np.random.default_rng(1).random((6, 196, 8)).astype(np.float16)
    with RowWriter(tmp_path / "f.h5") as writer:
        writer.write("grid", rows, values)
        writer.write("grid", np.zeros(0, np.int64), values[:0])
    before[rows] = values
    assert np.array_equal(open_features(tmp_path / "f.h5").grid, before)
