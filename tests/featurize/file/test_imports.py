"""Features that others extracted: every format into a feature file, and what is refused."""

import base64
import json
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.featurize.file.imports.cli import import_command
from frostgrid.featurize.file.imports.kinds import describe_kind
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.file.verify import verify
from frostgrid.predict.cli import predict
from reference.runs import lines, run_head

RNG = np.random.default_rng(0)
IDS = [7, 3, 11]


def bring(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(import_command, [str(word) for word in words])
    assert not isinstance(result.exception, InputError), result.exception
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.output.split())


def write_hdf5(path: Path, planes, ids, **how) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=planes, **how)
        file.create_dataset("ids", data=np.asarray(ids, np.int32))
    return path


def write_pth(folder: Path, planes, ids) -> Path:
    folder.mkdir()
    for plane, image in zip(planes, ids, strict=True):
        torch.save(torch.from_numpy(np.asarray(plane))[None].clone(), folder / f"{image}.pth")
    return folder


def write_npy(folder: Path, arrays, ids) -> Path:
    folder.mkdir()
    for array, image in zip(arrays, ids, strict=True):
        np.save(folder / f"COCO_val2014_{image:012}.npy", array)
    return folder


def write_npz(folder: Path, arrays, ids) -> Path:
    folder.mkdir()
    for array, image in zip(arrays, ids, strict=True):
        np.savez_compressed(folder / f"{image}.jpg.npz", x=array, bbox=np.zeros((2, 4)))
    return folder


def tsv_line(image, boxes) -> str:
    boxes = np.asarray(boxes, "<f4")
    coded = base64.b64encode(boxes.tobytes()).decode()
    corners = base64.b64encode(np.zeros((len(boxes), 4), "<f4").tobytes()).decode()
    return f"{image}\t640\t480\t{len(boxes)}\t{corners}\t{coded}\n"


def write_tsv(path: Path, arrays, ids) -> Path:
    path.write_text("".join(tsv_line(i, a) for i, a in zip(ids, arrays, strict=True)))
    return path


def planes(*shape: int) -> np.ndarray:
    return RNG.normal(size=(3, *shape)).astype(np.float16)


def stored(out: Path) -> dict[int, np.ndarray]:
    file = open_features(out)
    assert not verify(file, lambda n: None).damaged
    return {int(i): np.asarray(file.grid[row]) for row, i in enumerate(file.image_id)}


@pytest.mark.parametrize("how", [{}, {"chunks": (1, 8, 2, 3)}, {"compression": "gzip"}])
def test_an_hdf5_file_is_stored_cell_by_cell(how, tmp_path):
    values = planes(8, 2, 3)
    out = tmp_path / "f.h5"
    said = bring(write_hdf5(tmp_path / "a.h5", values, IDS, **how), "--out", out)
    assert "2x3 cells of 8 channels" in said
    assert "--trust-ids" in said
    for image, plane in zip(IDS, values, strict=True):
        assert np.array_equal(stored(out)[image], plane.reshape(8, 6).T)
    made = open_features(out).provenance
    assert (made["backbone"], made["weights"], made["layer"]) == (
        "imported",
        "unknown",
        "pytorch-vqa",
    )
    pooled = values.astype(np.float32).mean((2, 3)).astype(np.float16)
    assert np.array_equal(np.asarray(open_features(out).pooled), pooled)


def test_grids_of_several_shapes_are_averaged_to_the_one_that_is_said(tmp_path):
    grids = [RNG.normal(size=(8, h, w)).astype(np.float32) for h, w in ((4, 6), (2, 2), (4, 4))]
    folder, out = write_pth(tmp_path / "a", grids, IDS), tmp_path / "f.h5"
    assert "add --grid 14x14" in bring(folder, "--out", out, code=1)
    said = bring(folder, "--out", out, "--grid", "2x2", "--dtype", "float32", "--made-by", "X-152")
    assert "grids of 2x2 to 4x6, adaptively averaged to 2x2" in said
    found = stored(out)
    assert np.array_equal(found[3], grids[1].reshape(8, 4).T)
    assert np.allclose(found[11][0], grids[2][:, :2, :2].mean((1, 2)))
    assert np.allclose(np.asarray(open_features(out).pooled)[2], grids[2].mean((1, 2)))
    assert open_features(out).provenance["weights"] == "X-152"


@pytest.mark.parametrize("write", [write_npy, write_npz])
@pytest.mark.parametrize(("shape", "axes"), [((8, 2, 3), (1, 2, 0)), ((2, 3, 8), (0, 1, 2))])
def test_arrays_are_read_whatever_axis_has_the_channels(write, shape, axes, tmp_path):
    values = planes(*shape)
    out = tmp_path / "f.h5"
    key = ["--key", "x"] if write is write_npz else []
    bring(write(tmp_path / "a", values, IDS), "--out", out, *key)
    for image, array in zip(IDS, values, strict=True):
        assert np.array_equal(stored(out)[image], array.transpose(axes).reshape(6, 8))


def test_boxes_are_cells_without_a_grid(tmp_path):
    values = planes(5, 8)
    out = tmp_path / "f.h5"
    said = bring(write_tsv(tmp_path / "a.tsv", values, IDS), "--out", out)
    assert "5 cells without a grid of 8 channels" in said
    for image, boxes in zip(IDS, values, strict=True):
        assert np.array_equal(stored(out)[image], boxes)
    assert open_features(out).provenance["cells"] == "without a grid"


def test_boxes_of_any_number_are_cut_or_filled_by_the_users_word(tmp_path):
    boxes = [RNG.normal(size=(n, 8)).astype(np.float32) for n in (5, 2, 3)]
    halves = [write_tsv(tmp_path / f"a.tsv.{k}", boxes[k : k + 2], IDS[k : k + 2]) for k in (0, 2)]
    out = tmp_path / "f.h5"
    assert "2 to 5 cells each" in bring(*halves, "--out", out, code=1)
    bring(*halves, "--out", out, "--cells", 3, "--dtype", "float32")
    found, file = stored(out), open_features(out)
    assert np.array_equal(found[7], boxes[0][:3])
    assert np.array_equal(found[3], np.concatenate([boxes[1], np.zeros((1, 8), np.float32)]))
    assert np.allclose(np.asarray(file.pooled)[1], boxes[1].mean(0))
    assert "fewer filled with zeros" in file.provenance["preprocessing"]


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harmed"),))


def test_what_could_run_code_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, write in (
        ("a", lambda path: torch.save({"features": Harm()}, path / "1.pth")),
        ("b", lambda path: (path / "1.pth").write_bytes(pickle.dumps(Harm()))),
        ("c", lambda path: np.save(path / "1.npy", np.array([Harm()]), allow_pickle=True)),
        ("d", lambda path: np.savez(path / "1.npz", x=np.array([Harm()], object))),
    ):
        folder = tmp_path / name
        folder.mkdir()
        write(folder)
        said = bring(folder, "--out", tmp_path / "f.h5", code=1)
        assert "which can run programs when they are loaded" in said
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Harm()))
    assert "is a Python pickle" in bring("x.pkl", "--out", tmp_path / "f.h5", code=1)
    assert not (tmp_path / "harmed").exists()


def test_every_other_file_is_called_what_it_is(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["boxes"] = np.zeros(3)
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "one.npz", np.zeros(3))
    torch.save(torch.zeros(3), tmp_path / "one.pth")
    contents = {"no.json": b"{}", "no.txt": b"hello", "no": b"", "no.tar.gz": b"\x1f\x8b\x08"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "no.txt")
    for name, words in {
        "other.h5": "is an HDF5 file with boxes; expected the datasets features",
        "one.npy": "is a single NumPy array",
        "one.npz": "is a single .npz file",
        "one.pth": "is a single file of torch.save",
        "no.json": "is JSON",
        "no.txt": "is text",
        "no": "is empty",
        "no.tar.gz": "is a gzip archive",
        "all.zip": "is a zip archive (no.txt",
    }.items():
        said = bring(tmp_path / name, "--out", tmp_path / "f.h5", code=1)
        assert words in said
        if name not in ("other.h5", "no"):
            with pytest.raises(InputError, match="not a feature file"):
                open_features(tmp_path / name)
        assert "cut off" not in said
    assert "holds no .pth" in bring(empty(tmp_path), "--out", tmp_path / "f.h5", code=1)


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_values_and_ids_are_checked(tmp_path):
    values, out = planes(8, 2, 3), tmp_path / "f.h5"
    odd = values.copy()
    odd[1, 0, 0, 0] = np.nan
    assert "image 3: holds infinite or NaN" in bring(
        write_hdf5(tmp_path / "nan.h5", odd, IDS), "--out", out, code=1
    )
    large = write_hdf5(tmp_path / "large.h5", values.astype(np.float32) * 1e6, IDS)
    assert "add --dtype float32" in bring(large, "--out", out, code=1)
    twice = write_hdf5(tmp_path / "twice.h5", values, [7, 3, 7])
    assert "the image 7 stands twice" in bring(twice, "--out", out, code=1)
    alike = write_hdf5(tmp_path / "alike.h5", values[[0, 1, 0]], [7, 3, 7])
    assert "1 entries stand twice, alike" in bring(alike, "--out", out)
    assert open_features(out).image_id.tolist() == [7, 3]
    assert "exists already" in bring(alike, "--out", out, code=1)
    whole = write_tsv(tmp_path / "a.tsv", planes(5, 8), IDS).read_bytes()
    (tmp_path / "cut.tsv").write_bytes(whole[:-50])
    assert "line 3 (image 11)" in bring(tmp_path / "cut.tsv", "--out", tmp_path / "g.h5", code=1)
    assert not (tmp_path / "g.h5").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_either_end_of_a_square_array_must_be_said(tmp_path):
    folder, out = write_npy(tmp_path / "a", planes(4, 4), IDS), tmp_path / "f.h5"
    assert "--channels first or last" in bring(folder, "--out", out, code=1)
    bring(folder, "--out", out, "--channels", "last")


WRITERS = {
    "pytorch-vqa": lambda path, grid, ids: write_hdf5(
        path, grid.transpose(0, 2, 1).reshape(len(ids), -1, 14, 14), ids
    ),
    "grid-feats": lambda path, grid, ids: write_pth(
        path, grid.transpose(0, 2, 1).reshape(len(ids), -1, 14, 14), ids
    ),
    "npy": lambda path, grid, ids: write_npy(path, grid.reshape(len(ids), 14, 14, -1), ids),
    "bottom-up": lambda path, grid, ids: write_tsv(path, grid, ids),
}


@pytest.mark.parametrize(("kind", "head"), [*zip(WRITERS, ["san", "rnn-decoder"] * 2, strict=True)])
def test_heads_train_on_imported_features_as_on_their_own(kind, head, tiny_set, tmp_path):
    root, files = tiny_set
    brought = []
    for split, path in zip(("train", "val"), files, strict=True):
        own = open_features(path)
        source = WRITERS[kind](
            tmp_path / f"{split}-source", np.array(own.grid), own.image_id.tolist()
        )
        brought.append(tmp_path / f"{split}.h5")
        grid = ["--grid", "14x14"] if kind == "bottom-up" else []
        said = bring(source, "--out", brought[-1], "--data", root, "--split", split, *grid)
        assert f"{split}: {own.n_images} of its images" in said
        assert np.array_equal(stored(brought[-1])[int(own.image_id[0])], np.asarray(own.grid[0]))
    more = ("--epochs", "1", "--limit", "4", "--min-word-count", "1", "--amp", "off")
    run_head(head, (root, brought), tmp_path / "run", *more)
    if kind == "pytorch-vqa":  # each format gives the same cells
        run_head(head, tiny_set, tmp_path / "own", *more)
        losses = [lines(tmp_path / name)[0]["val_loss"] for name in ("run", "own")]
        assert losses[0] == losses[1]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["feature_identity"]["backbone"] == "imported"
    result = CliRunner().invoke(predict, [str(tmp_path / "run"), "--device", "cpu"])
    assert result.exit_code == 0, result.output


def test_another_photo_cannot_be_asked_about(tiny_set, tmp_path):
    from frostgrid.explain.cli import explain

    root, files = tiny_set
    own = open_features(files[0])
    source = write_tsv(tmp_path / "a.tsv", np.array(own.grid)[:, :9], own.image_id.tolist())
    bring(source, "--out", tmp_path / "f.h5", "--data", root)
    more = ("--epochs", "1", "--hold-out", "0.3", "--amp", "off")
    run_head("san", (root, [tmp_path / "f.h5"]), tmp_path / "run", *more)
    words = [tmp_path / "run", "--image", root / "images" / "train_100.png", "--question", "what?"]
    result = CliRunner().invoke(explain, [str(word) for word in words])
    assert result.exit_code == 1
    assert "their network cannot be rebuilt for another photo" in " ".join(result.output.split())


def test_only_the_images_of_the_named_split_are_taken(tiny_set, tmp_path):
    root, files = tiny_set
    own = open_features(files[0])
    grid = np.array(own.grid)[:, :4]
    source = write_tsv(tmp_path / "a.tsv", grid[:6], [*own.image_id[:4].tolist(), 999, 998])
    out = tmp_path / "f.h5"
    said = bring(source, "--out", out, "--data", root, "--split", "train")
    assert "train: 4 of its images" in said
    assert "2 entries are of no image of this split" in said
    assert "14 of the split's images" in said
    assert open_features(out).file_name[0] == "train_100.png"
    assert "none of the 6 images is one of" in bring(
        source, "--out", tmp_path / "g.h5", "--data", root, "--split", "val", code=1
    )


def test_the_first_bytes_say_what_a_file_is(tiny_set, tmp_path):
    assert describe_kind(tiny_set[1][0]).startswith("a feature file of frostgrid already")
    (tmp_path / "odd").write_bytes(bytes(range(16)))
    assert "first bytes are 00 01 02" in describe_kind(tmp_path / "odd")
