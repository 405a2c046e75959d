"""Joining, converting and describing feature files."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from frostgrid.cli import main
from frostgrid.errors import InputError
from frostgrid.featurize.file.checksums import checksums
from frostgrid.featurize.file.convert import convert_file
from frostgrid.featurize.file.join import join_files
from frostgrid.featurize.file.layout import DONE, FAILED, columns_of
from frostgrid.featurize.file.quantize import dequantize
from frostgrid.featurize.file.reader import FeatureFile, open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.file.writer import RowWriter, create_file
from reference import feature_files

PROVENANCE = {**feature_files.PROVENANCE, "shard": "", "versions": json.dumps({"torch": "9"})}


def make_file(path: Path, ids: range, failed: int | None = None, **changes: Any) -> FeatureFile:
    """A finished file of random values with checksums that fit."""
    provenance = {**PROVENANCE, **changes}
    names = [f"ü {i}.png" for i in ids]
    create_file(path, provenance, np.array(ids, np.int64), names)
    rng = np.random.default_rng(ids.start)
    rows = np.arange(len(ids))
    status = np.full(len(ids), DONE, np.uint8)
    values: dict[str, np.ndarray] = {}
    for column in columns_of(provenance)[:3]:
        if column.name != "image_id":
            shape = (len(ids), *column.row_shape)
            values[column.name] = (rng.random(shape) * 50).astype(column.dtype)
    values |= checksums(values)
    if failed is not None:
        status[failed] = FAILED
        errors = np.zeros(len(ids), "S160")
        errors[failed] = b"is empty"
        values |= {"error": errors}
        for name in ("grid", "pooled", "crc32", "pooled_crc32"):
            values[name][failed] = 0
    values = feature_files.complete(values, np.array(ids), status)
    with RowWriter(path) as writer:
        for name, column_values in {**values, "status": status}.items():
            writer.write(name, rows, column_values)
    return open_features(path)


def copy(path: Path, out: Path, dtype: str | None = None, layout: str = "plain") -> FeatureFile:
    convert_file(path, out, dtype, layout, lambda n: None)
    return open_features(out)


def test_a_joined_file_reads_as_one(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    paths = [tmp_path / "parts" / f"{i}.h5" for i in range(3)]
    parts = [
        make_file(path, range(10 * i, 10 * i + 4 + i), failed=1) for i, path in enumerate(paths)
    ]
    joined = join_files(paths, tmp_path / "all.h5")
    assert joined.n_images == 4 + 5 + 6
    assert [part.path for part in joined.parts] == paths
    rows = joined.rows(np.array([25, 0, 13, 2]))
    assert rows.tolist() == [14, 0, 7, 2]
    for name in ("grid", "pooled"):
        whole = np.concatenate([getattr(part, name) for part in parts])
        column = getattr(joined, name)
        assert column.shape == whole.shape
        assert np.array_equal(column[rows], whole[rows])
        assert np.array_equal(column[3:6], whole[3:6])
        assert np.array_equal(column[-1], whole[-1])
        assert np.array_equal(column[rows.reshape(2, 2)], whole[rows.reshape(2, 2)])
    assert joined.reason(1) == "is empty"
    with pytest.raises(InputError, match=r"\(11\) failed"):
        joined.rows(np.array([11]))
    with h5py.File(tmp_path / "all.h5") as file:  # plain h5py reads the same
        assert np.array_equal(file["grid"][:], np.concatenate([part.grid for part in parts]))
        assert file["file_name"].asstr()[4] == "ü 10.png"
    assert pickle.loads(pickle.dumps(joined)).rows(np.array([25])).tolist() == [14]


def test_other_grids_are_joined_and_converted(tmp_path: Path) -> None:
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    parts = [make_file(path, range(5 * i, 5 * i + 3), grid=[2, 3]) for i, path in enumerate(paths)]
    assert parts[0].grid.shape == (3, 6, 8)
    assert parts[0].identity()["grid"] == "2x3"
    joined = join_files(paths, tmp_path / "all.h5")
    assert np.array_equal(joined.grid[3:], parts[1].grid)
    small = copy(tmp_path / "all.h5", tmp_path / "small.h5", "uint8")
    assert small.scale is not None
    assert small.scale.shape == (6, 6)
    back = dequantize(small.grid, small.scale)
    assert np.abs(back[:3] - parts[0].grid.astype(np.float32)).max() < 0.2
    other = make_file(tmp_path / "c.h5", range(20, 22))
    with pytest.raises(InputError, match="grid 14x14, not 2x3"):
        join_files([paths[0], other.path], tmp_path / "no.h5")


def test_a_joined_folder_may_move(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    part = make_file(tmp_path / "a" / "x.h5", range(3))
    join_files([part.path], tmp_path / "a" / "all.h5")
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_features(tmp_path / "b" / "all.h5").rows(np.array([2])).tolist() == [2]


def test_parts_that_are_gone_or_others_are_no_zeros(tmp_path: Path) -> None:
    part = make_file(tmp_path / "x.h5", range(3))
    join_files([part.path], tmp_path / "all.h5")
    part.path.unlink()
    with pytest.raises(InputError, match=r"x\.h5: no such file"):
        open_features(tmp_path / "all.h5")
    make_file(tmp_path / "x.h5", range(4))
    with pytest.raises(InputError, match="not those it was joined from"):
        open_features(tmp_path / "all.h5")
    (tmp_path / "x.h5").unlink()
    make_file(tmp_path / "x.h5", range(3), backbone="resnet34")
    with pytest.raises(InputError, match=r"x\.h5 was made with other settings"):
        open_features(tmp_path / "all.h5")


def test_shards_of_two_lists_are_not_joined(tmp_path: Path) -> None:
    one = make_file(tmp_path / "a.h5", range(5), shard="1of2", images_digest="a")
    two = make_file(tmp_path / "b.h5", range(5, 9), shard="2of2", images_digest="b")
    with pytest.raises(
        InputError, match=r"b\.h5: is a shard of another list of images than .*a\.h5"
    ):
        join_files([one.path, two.path], tmp_path / "all.h5")


def test_shards_are_put_in_order(tmp_path: Path) -> None:
    two = make_file(tmp_path / "a.h5", range(5, 9), shard="2of2")
    one = make_file(tmp_path / "b.h5", range(5), shard="1of2")
    joined = join_files([two.path, one.path], tmp_path / "all.h5")
    assert joined.image_id.tolist() == list(range(9))
    for given in ([one], [one, one], [one, two, make_file(tmp_path / "c.h5", range(20, 22))]):
        with pytest.raises(InputError, match="expected each of the shards 1of2, 2of2 once"):
            join_files([part.path for part in given], tmp_path / "other.h5")
    assert not (tmp_path / "other.h5").exists()


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    first = make_file(tmp_path / "a.h5", range(5))
    out = tmp_path / "all.h5"
    with pytest.raises(InputError, match="both hold the image 4"):
        join_files([first.path, make_file(tmp_path / "b.h5", range(4, 6)).path], out)
    other = make_file(tmp_path / "c.h5", range(7, 9), layer="layer3")
    with pytest.raises(InputError, match="layer layer3, not layer4"):
        join_files([first.path, other.path], out)
    unfinished = tmp_path / "d.h5"
    create_file(unfinished, PROVENANCE, np.array([11]), ["x"])
    with pytest.raises(InputError, match="is not finished"):
        join_files([first.path, unfinished], out)
    joined = join_files([first.path], out)
    with pytest.raises(InputError, match="exists already"):
        join_files([first.path], out)
    with pytest.raises(InputError, match="is a joined file itself"):
        join_files([joined.path], tmp_path / "more.h5")


@pytest.mark.parametrize("layout", ["plain", "archive"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_there_and_back(tmp_path: Path, layout: str, dtype: str) -> None:
    if layout == "archive":
        pytest.importorskip("hdf5plugin")
    before = make_file(tmp_path / "a.h5", range(70), failed=66)
    convert_file(before.path, tmp_path / "b.h5", dtype, layout, lambda n: None)
    after = copy(tmp_path / "b.h5", tmp_path / "c.h5", "float16")
    assert verify(after, lambda n: None).damaged == []
    assert after.status.tolist() == before.status.tolist()
    assert after.reason(66) == "is empty"
    assert after.file_name == before.file_name
    assert np.array_equal(after.pooled, before.pooled)
    if dtype == "uint8":
        half_step = before.grid.max(2, keepdims=True) / 255 * 0.51
        assert (np.abs(after.grid - before.grid) <= half_step + 0.02).all()
    else:
        assert np.array_equal(after.grid, before.grid)
        assert np.array_equal(after.crc32, before.crc32)


def test_uint8_files_hold_bytes_and_scales(tmp_path: Path) -> None:
    before = make_file(tmp_path / "a.h5", range(5))
    after = copy(before.path, tmp_path / "b.h5", "uint8")
    assert after.grid.dtype == np.uint8
    assert after.scale is not None
    assert verify(after, lambda n: None).is_sound
    np.testing.assert_allclose(dequantize(after.grid, after.scale[:]), before.grid, atol=0.13)


def test_joined_files_become_one(tmp_path: Path) -> None:
    parts = [make_file(tmp_path / f"{i}.h5", range(5 * i, 5 * i + 5)) for i in range(2)]
    joined = join_files([part.path for part in parts], tmp_path / "all.h5")
    whole = copy(joined.path, tmp_path / "whole.h5")
    assert whole.parts == [whole]
    assert np.array_equal(whole.grid, joined.grid[:])
    assert verify(whole, lambda n: None).is_sound


def test_damage_is_not_carried_on(tmp_path: Path) -> None:
    make_file(tmp_path / "a.h5", range(5))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["pooled"][3, 2] += 1
    with pytest.raises(InputError, match=r"a\.h5: row 3 is damaged"):
        copy(tmp_path / "a.h5", tmp_path / "b.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5"]


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    features = make_file(tmp_path / "a.h5", range(2), dtype="float32")
    grid, pooled = np.array(features.grid), np.array(features.pooled)
    grid[1, 7, 3] = 1e6
    with RowWriter(features.path) as writer:
        values = features.columns | {"grid": grid} | checksums({"grid": grid, "pooled": pooled})
        for name, column in feature_files.complete(
            values, features.image_id, features.status
        ).items():
            if name != "damaged":
                writer.write(name, np.arange(2), column)
    with pytest.raises(InputError, match="too large for float16; keep float32"):
        copy(features.path, tmp_path / "b.h5", "float16")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, list(words))


def test_commands_as_typed(call: Callable[..., Result]) -> None:
    make_file(Path("a.h5"), range(5), failed=2)
    make_file(Path("b.h5"), range(5, 7))
    result = call("join", "all.h5", "a.h5", "b.h5")
    assert (result.exit_code, result.stdout) == (0, "all.h5: 7 images in 2 files\n")
    result = call("info", "all.h5")
    assert result.exit_code == 0
    assert "failed          ü 2.png: is empty" in result.stdout
    assert "layout          joined" in result.stdout
    facts = json.loads(call("info", "a.h5", "--json").stdout)
    assert facts["failed_images"] == {"ü 2.png": "is empty"}
    assert (facts["images"], facts["done"], facts["versions"]) == (5, 4, {"torch": "9"})
    result = call("convert", "all.h5", "one.h5", "--dtype", "uint8")
    assert result.exit_code == 0, result.output
    assert "of all.h5's grid" in result.stdout
    for words in (("info", "no.h5"), ("join", "x.h5", "no.h5"), ("convert", "no.h5", "x.h5")):
        result = call(*words)
        assert result.exit_code == 1
        assert "no.h5: no such file" in result.stderr
    assert call("convert", "a.h5", "x.h5", "--dtype", "int4").exit_code == 2
