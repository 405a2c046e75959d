"""Damaged, hostile and old feature files: one sentence, in bounded time, never other data."""

import json
import multiprocessing
import random
import re
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from frostgrid.cli import main
from frostgrid.errors import InputError
from frostgrid.featurize.extract import Extractor
from frostgrid.featurize.file import hdf5
from frostgrid.featurize.file.convert import convert_file
from frostgrid.featurize.file.join import join_files
from frostgrid.featurize.file.layout import DONE, FAILED, TO_DO
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.structure import HEAD, HEAD_BYTES, HEAD_CRC32, SIGNATURE, Structure
from frostgrid.featurize.file.verify import verify
from frostgrid.featurize.file.writer import RowWriter, create_file
from frostgrid.featurize.jobs import Job
from frostgrid.train.cli import train_head
from frostgrid.train.features.split import SplitFeatures
from reference.feature_files import PROVENANCE, make_old, write_file
from reference.feature_flips import flip, flip_many, use

FLIPS = 100
NESTED = "a list in a list in a list"


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path, dtype: str) -> None:
    write_file(tmp_path / "f.h5", 12, failed=3, grid=[2, 2], dtype=dtype)
    context = multiprocessing.get_context("spawn")  # it may hang, so it must not be this process
    answer = context.SimpleQueue()
    child = context.Process(target=flip_many, args=(tmp_path / "f.h5", FLIPS, answer))
    child.start()
    child.join(60)
    assert child.exitcode == 0, "flips hang, or end the process"
    found = answer.get()
    assert isinstance(found, dict), found
    assert found["refused"] > FLIPS / 2  # the rest are padding and errors of rows without


def test_an_image_id_cannot_change(tmp_path: Path, call: Callable[..., Result]) -> None:
    write_file(tmp_path / "f.h5", 5)
    features = open_features(tmp_path / "f.h5")
    flip(tmp_path / "f.h5", features.structure.columns["image_id"].offset or 0, 5)
    for words in (["info", "f.h5"], ["featurize", "--verify", "--out", "f.h5"]):
        result = call(*words)
        assert result.exit_code == 1
        assert "f.h5: its structure does not match its checksum" in result.stderr


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, list(words))


def test_all_attributes_are_covered(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 3, split="train", anything="later attributes too")
    assert open_features(tmp_path / "f.h5").provenance["anything"] == "later attributes too"
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file.attrs.modify("split", "other")
    with pytest.raises(InputError, match="does not match its checksum"):
        open_features(tmp_path / "f.h5")


def test_plain_h5py_finds_the_bytes(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 3)
    with h5py.File(tmp_path / "f.h5") as file:
        offset, shape = file["grid"].id.get_offset(), file["grid"].shape
        assert file.attrs["backbone"] == "resnet18"
        grid = file["grid"][:]
    assert np.array_equal(np.memmap(tmp_path / "f.h5", np.float16, "r", offset, shape), grid)


def test_a_damaged_row_is_not_used(tmp_path: Path) -> None:
    for kind, bad in (("grid", 2), ("pooled", 1)):
        write_file(tmp_path / f"{kind}.h5", 4)
        features = open_features(tmp_path / f"{kind}.h5")
        stored = features.structure.columns[kind]
        assert stored.offset is not None
        flip(features.path, stored.offset + bad * stored.n_bytes // 4 + 3, 6)
        split = SplitFeatures([features], kind)
        split.gather(np.array([0, 3]), torch.device("cpu"))
        told = rf"{kind}\.h5: row {bad} \(image {100 + bad}, ü {100 + bad}\.png\) does not match"
        for _ in range(2):  # it is never taken as checked
            with pytest.raises(InputError, match=told + ".*--repair"):
                split.gather(np.array([0, bad]), torch.device("cpu"))
        assert verify(features, lambda n: None).damaged == [bad]


def test_scales_are_checked_with_the_grid(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 4, dtype="uint8")
    features = open_features(tmp_path / "f.h5")
    flip(features.path, features.structure.columns["scale"].offset or 0, 6)
    with pytest.raises(InputError, match="row 0 "):
        SplitFeatures([features], "grid").gather(np.array([0, 3]), torch.device("cpu"))


def test_rows_of_several_files_are_checked(tmp_path: Path) -> None:
    write_file(tmp_path / "a.h5", 3)
    write_file(tmp_path / "b.h5", 4)
    features = [open_features(tmp_path / name) for name in ("a.h5", "b.h5")]
    flip(features[1].path, features[1].structure.columns["grid"].offset or 0, 6)
    split = SplitFeatures(features, "grid")
    split.gather(np.array([0, 4, 6]), torch.device("cpu"))
    with pytest.raises(InputError, match=r"b\.h5: row 0 "):
        split.gather(np.array([2, 3]), torch.device("cpu"))


@pytest.mark.parametrize("column", ["status", "crc32", "source_bytes"])
def test_a_row_whose_short_columns_are_damaged_is_to_do(tmp_path: Path, column: str) -> None:
    write_file(tmp_path / "f.h5", 4)
    stored = open_features(tmp_path / "f.h5").structure.columns[column]
    assert stored.offset is not None
    flip(tmp_path / "f.h5", stored.offset + 2 * stored.n_bytes // 4, 3)
    features = open_features(tmp_path / "f.h5")
    assert features.status.tolist() == [DONE, DONE, TO_DO, DONE]
    assert not features.is_complete
    with pytest.raises(InputError, match=r"\(102\) are damaged; run `featurize` with --repair"):
        features.rows(np.array([102, 103]))
    verdict = verify(features, lambda n: None)
    assert (verdict.damaged, verdict.to_do) == ([2], [])
    with pytest.raises(InputError, match="row 2 is damaged"):
        convert_file(features.path, tmp_path / "g.h5", None, "plain", lambda n: None)
    with pytest.raises(InputError, match="is not finished"):
        join_files([features.path], tmp_path / "g.h5")


def test_a_kill_before_the_status_leaves_a_row_to_do(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 4)
    with RowWriter(tmp_path / "f.h5") as writer:
        writer.write("status", np.array([1]), np.array([TO_DO]))
    features = open_features(tmp_path / "f.h5")
    assert features.status.tolist() == [DONE, TO_DO, DONE, DONE]
    assert not features.damaged.any()
    with RowWriter(tmp_path / "f.h5") as writer:
        writer.write("status", np.array([1]), np.array([FAILED]))
    assert open_features(tmp_path / "f.h5").damaged.tolist() == [False, True, False, False]


def test_a_row_whose_short_columns_are_damaged_is_computed_again(
    run: Callable[..., Any], job: Job, extractor: Extractor
) -> None:
    before, _ = run(job, extractor)
    expected = use(before)
    flip(job.out, before.structure.columns["crc32"].offset or 0, 3)
    after, n_done = run(job, extractor)
    assert n_done == 1
    assert use(after) == expected


def test_training_stops_at_a_damaged_row(tiny_set: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, files = tiny_set
    words = ["--data", str(root), "--epochs", "1", "--batch-size", "8", "--device", "cpu"]
    copies = [Path(shutil.copy(file, tmp_path)) for file in files]
    words += [f"--features={path}" for path in copies]
    for kind, head in (("grid", "lstm"), ("pooled", "mean-embed")):
        stored = open_features(copies[1]).structure.columns[kind]
        assert stored.offset is not None
        flip(copies[1], stored.offset + stored.n_bytes - 1, 6)
        result = CliRunner().invoke(train_head, [head, *words, "--out", str(tmp_path / head)])
        assert result.exit_code == 1
        assert re.search(r"val\.h5: row 8 \(image .*\) does not match its checksum", result.stderr)
    shutil.copy(files[1], tmp_path)
    make_old(copies[1])
    result = CliRunner().invoke(train_head, ["mean-embed", *words, "--out", str(tmp_path / "old")])
    assert result.exit_code == 0
    assert "val.h5 has no checksums of its attributes" in result.stdout


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_file_cut_off_while_it_is_read(tmp_path: Path, keep: float) -> None:
    write_file(tmp_path / "f.h5", 4)
    split = SplitFeatures([open_features(tmp_path / "f.h5")], "grid")
    split.gather(np.array([0, 1]), torch.device("cpu"))
    with (tmp_path / "f.h5").open("r+b") as file:
        file.truncate(int((tmp_path / "f.h5").stat().st_size * keep))
    with pytest.raises(InputError, match=r"f\.h5: is cut off"):
        split.gather(np.array([0, 1]), torch.device("cpu"))


def test_a_file_that_names_itself_as_its_part(tmp_path: Path) -> None:
    write_file(tmp_path / "x.h5", 3)
    join_files([tmp_path / "x.h5"], tmp_path / "all.h5")
    (tmp_path / "all.h5").replace(tmp_path / "x.h5")
    with pytest.raises(InputError, match=r"its part .*x\.h5 is joined, expected a plain"):
        open_features(tmp_path / "x.h5")


def test_parts_are_those_that_were_joined(tmp_path: Path) -> None:
    for name, n in (("a.h5", 2), ("b.h5", 3)):
        write_file(tmp_path / name, n)
    file_names = open_features(tmp_path / "b.h5").file_name
    with pytest.raises(InputError, match="both hold the image 100"):
        join_files([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "all.h5")
    join_files([tmp_path / "b.h5"], tmp_path / "all.h5")
    assert open_features(tmp_path / "all.h5").file_name == file_names
    write_file(tmp_path / "c.h5", 4)
    (tmp_path / "c.h5").replace(tmp_path / "b.h5")
    with pytest.raises(InputError, match="not those it was joined from"):
        open_features(tmp_path / "all.h5")
    other_ids = np.arange(103, 106)
    create_file(tmp_path / "c.h5", PROVENANCE, other_ids, file_names)
    (tmp_path / "c.h5").replace(tmp_path / "b.h5")
    with pytest.raises(InputError, match="not those it was joined from"):
        open_features(tmp_path / "all.h5")
    for names, told in (
        ('["a.h5", "a.h5"]', "not those it was joined from"),
        ("[]", "not those it was joined from"),
        ("[3]", "'parts' that is no list of files"),
        ("[", "'parts' that is no list of files"),
        ('["all.h5"]', "its part .* is joined"),
    ):
        seal_again(tmp_path / "all.h5", attributes={"parts": names})
        with pytest.raises(InputError, match=told):
            open_features(tmp_path / "all.h5")


def seal_again(path: Path, attributes: dict[str, Any] | None = None, **changes: Any) -> None:
    """Change what a user block says, with checksums that fit: what only a program can do."""
    data = path.read_bytes()
    _, n_bytes, _ = HEAD.unpack(data[: HEAD.size])
    about = json.loads(data[HEAD_BYTES : HEAD_BYTES + n_bytes])
    about["attributes"] |= attributes or {}
    for name, value in changes.items():
        target = about
        *folders, name = name.split("__")
        for folder in folders:
            target = target[folder]
        target[name] = value
    text = json.dumps(about).replace(f'"{NESTED}"', "[" * 3000 + "]" * 3000).encode()
    head = HEAD.pack(SIGNATURE, len(text), zlib.crc32(text))
    with path.open("r+b") as file:
        file.write(head + HEAD_CRC32.pack(zlib.crc32(head)) + text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"attributes": {"channels": 0}}, "claims"),
        ({"attributes": {"channels": "8"}}, "claims"),
        ({"attributes": {"channels": 10**30}}, "has a dataset 'grid'"),
        ({"attributes": {"grid": [14]}}, "has the attribute 'grid'"),
        ({"attributes": {"dtype": "object"}}, "claims"),
        ({"attributes": {"dtype": ["float16"]}}, "claims"),
        ({"file_name": ["a"]}, "for its 1 file names"),
        ({"file_name": 3}, "its description is not that of a feature file"),
        ({"columns__grid__dtype": "|O"}, "has a dataset 'grid'"),
        ({"columns__grid__dtype": "nonsense"}, "its description is not that"),
        ({"columns__status__shape": [3]}, "has a dataset 'status'"),
        ({"columns__grid__offset": -8}, "its description is not that"),
        ({"columns__grid__offset": 10**18}, "is cut off"),
        ({"columns": {}}, "has no dataset 'grid'"),
        ({"file_bytes": 10**18}, "is cut off"),
        ({"hdf5_offset": -1}, "its description is not that"),
        ({"attributes": {"deep": NESTED}}, "its description is not that"),
        ({"fixed_crc32": 1}, "does not match its checksum"),
    ],
)
def test_hostile_descriptions(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    write_file(tmp_path / "f.h5", 4)
    seal_again(tmp_path / "f.h5", **changes)
    with pytest.raises(InputError, match=told):
        open_features(tmp_path / "f.h5")


def test_old_files_open_with_a_word(tmp_path: Path, call: Callable[..., Result]) -> None:
    write_file(tmp_path / "f.h5", 4)
    new = use(open_features(tmp_path / "f.h5"))
    make_old(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        del file["row_crc32"]
    old = open_features(tmp_path / "f.h5")
    assert use(old) == new
    assert "made by an earlier frostgrid" in old.missing_checks
    assert "made by an earlier frostgrid" in call("info", "f.h5").stdout
    verified = call("featurize", "--verify", "--out", "f.h5")
    assert verified.exit_code == 0
    assert "note: f.h5 has no checksums of its attributes" in verified.stdout
    with RowWriter(tmp_path / "f.h5") as writer:  # and are filled
        writer.write("row_crc32", np.arange(4), np.zeros(4))
    join_files([tmp_path / "f.h5"], tmp_path / "all.h5")
    assert use(open_features(tmp_path / "all.h5"))[:-1] == new[:-1]
    convert_file(tmp_path / "f.h5", tmp_path / "g.h5", None, "plain", lambda n: None)
    assert open_features(tmp_path / "g.h5").missing_checks == ""
    assert use(open_features(tmp_path / "g.h5")) == new


def test_damaged_old_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of these flips keeps HDF5 2.0 busy forever; at others h5py raises all sorts of errors."""
    monkeypatch.setattr(hdf5, "CPU_SECONDS", 1)
    write_file(tmp_path / "f.h5", 8, grid=[2, 2])
    make_old(tmp_path / "f.h5")
    data = (tmp_path / "f.h5").read_bytes()
    for position, bit in ((4385, 1), (40, 6), (800, 3), (1100, 0)):
        (tmp_path / "f.h5").write_bytes(data)
        flip(tmp_path / "f.h5", position, bit)
        with suppress(InputError):
            open_features(tmp_path / "f.h5")


def test_old_columns_of_unequal_length(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 4)
    make_old(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        del file["status"]
        file["status"] = np.ones(3, np.uint8)
    with pytest.raises(InputError, match=r"'status' of \|u1 \[3\], not \|u1 \[4\] for its 4 file"):
        open_features(tmp_path / "f.h5")


def test_an_id_belongs_to_one_image(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 4)
    make_old(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["image_id"][0] = 102
    with pytest.raises(InputError, match=r"rows 0 \(ü 100\.png\) and 2 .* same image id 102"):
        open_features(tmp_path / "f.h5")


def test_archives_are_checked_before_they_are_read(tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    write_file(tmp_path / "f.h5", 6)
    convert_file(tmp_path / "f.h5", tmp_path / "a.h5", None, "archive", lambda n: None)
    data, draw = (tmp_path / "a.h5").read_bytes(), random.Random(1)
    for _ in range(20):
        (tmp_path / "a.h5").write_bytes(data)
        flip(tmp_path / "a.h5", draw.randrange(len(data)), draw.randrange(8))
        try:
            convert_file(tmp_path / "a.h5", tmp_path / "g.h5", None, "plain", lambda n: None)
        except InputError:
            continue
        assert use(open_features(tmp_path / "g.h5")) == use(open_features(tmp_path / "f.h5"))
        (tmp_path / "g.h5").unlink()


def test_the_user_block_says_what_hdf5_says(tmp_path: Path) -> None:
    write_file(tmp_path / "f.h5", 4)
    sealed = open_features(tmp_path / "f.h5").structure
    read = hdf5.describe(tmp_path / "f.h5", trusted=True)
    assert msgspec.structs.replace(sealed, fixed_crc32=None) == read
    assert isinstance(read, Structure)
