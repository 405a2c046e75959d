"""From image files to a run by the commands: every id gets its own image, or nothing is trained."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from frostgrid.featurize.cli import featurize
from frostgrid.predict.cli import predict
from frostgrid.train.cli import train_head
from PIL import Image

COLORS = {"apple": (200, 0, 0), "pear": (0, 200, 0), "zoo": (0, 0, 200)}
SMALL = ["--epochs", "1", "--min-word-count", "1", "--device", "cpu", "--batch-size", "8"]


def call(command: object, *words: object, code: int = 0) -> str:
    result = CliRunner().invoke(command, list(map(str, words)))  # type: ignore[arg-type]
    assert result.exit_code == code, result.output
    return result.output


def extract(*words: object, code: int = 0) -> str:
    how = ["--backbone", "resnet18", "--weights", "random", "--image-size", 32, "--device", "cpu"]
    return call(featurize, *how, *words, code=code)


def put_images(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (40, 40), COLORS[name]).save(folder / f"{name}.png")


def put_captions(root: Path, split: str, ids: dict[str, int]) -> None:
    content = {
        "images": [{"id": i, "file_name": f"{name}.png"} for name, i in ids.items()],
        "annotations": [
            {"image_id": i, "caption": f"this is {name} number {k}"}
            for name, i in ids.items()
            for k in range(2)
        ],
    }
    (root / f"{split}_captions.json").write_text(json.dumps(content))


def pooled_by_id(path: Path) -> dict[int, np.ndarray]:
    with h5py.File(path) as file:
        return dict(zip(file["image_id"][:].tolist(), file["pooled"][:], strict=True))


def pooled_by_name(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        names = [Path(name.decode()).stem for name in file["file_name"][:]]
        return dict(zip(names, file["pooled"][:], strict=True))


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose ids are not in the order of the names, and a plain folder beside it."""
    monkeypatch.chdir(tmp_path)
    put_images(tmp_path / "photos", *COLORS)
    put_images(tmp_path / "d" / "images", *COLORS)
    for split in ("train", "val"):
        put_captions(tmp_path / "d", split, {"zoo": 0, "apple": 1, "pear": 2})
    return tmp_path


def test_features_by_order_are_refused_and_those_by_name_are_right(sets):
    extract("photos", "--out", "photos.h5")
    arguments = ["rnn-decoder", "--data", "d", "--features", "photos.h5", *SMALL, "--out", "r"]
    said = call(train_head, *arguments, code=1)
    assert "photos.h5: its image 0 (row 0) is apple.png, but " in said
    assert "d/train_captions.json names it zoo.png; these are features of other images" in said
    assert not Path("r").exists()
    extract("--data", "d")
    by_name = pooled_by_name(Path("photos.h5"))
    for split in ("train", "val"):
        by_id = pooled_by_id(Path(f"features/d-{split}-resnet18.h5"))
        for name, image_id in {"zoo": 0, "apple": 1, "pear": 2}.items():
            assert np.array_equal(by_id[image_id], by_name[name])
    assert not np.array_equal(by_name["zoo"], by_name["apple"])
    call(train_head, "rnn-decoder", "--data", "d", *SMALL, "--out", "r")


def test_the_word_is_kept_for_the_run_and_for_no_other_data(sets):
    extract("photos", "--out", "photos.h5")
    run = ["--data", "d", "--features", "photos.h5", "--trust-ids", *SMALL, "--out", "r"]
    call(train_head, "rnn-decoder", *run)
    assert json.loads(Path("r/config.json").read_text())["trust_ids"] is True
    call(train_head, "--resume", "r", "--epochs", 2, "--device", "cpu")
    call(predict, "r", "--device", "cpu")
    other = ["r", "--device", "cpu", "--data", "d", "--features", "photos.h5"]
    assert "its image 0 (row 0) is apple.png" in call(predict, *other, code=1)
    call(predict, *other, "--trust-ids")


def test_validation_is_not_scored_on_training_images_of_equal_ids(sets):
    extract("--data", "d")
    train = ["--features", "features/d-train-resnet18.h5"]
    said = call(train_head, "rnn-decoder", "--data", "d", *train, *SMALL, "--out", "r", code=1)
    assert "made for the split 'train', not for 'val', whose images may have the same ids" in said
    assert "`featurize --data" in said


def test_features_of_another_folder_of_the_same_name_are_refused(sets):
    extract("--data", "d")
    shutil.copytree(sets / "d", sets / "elsewhere" / "d")
    for split in ("train", "val"):
        put_captions(sets / "elsewhere" / "d", split, {"pear": 0, "apple": 1, "zoo": 2})
    arguments = ["rnn-decoder", "--data", "elsewhere/d", *SMALL, "--out", "r"]
    said = call(train_head, *arguments, code=1)
    assert "d-train-resnet18.h5: its image 0 (row" in said
    assert "images/zoo.png, but" in said
    assert "names it pear.png" in said


def test_a_run_whose_data_moved_goes_on_and_one_whose_images_changed_does_not(sets):
    extract("--data", "d")
    call(train_head, "rnn-decoder", "--data", "d", *SMALL, "--out", "r")
    shutil.move(sets / "d", sets / "moved")
    again = ["--resume", "r", "--epochs", 2, "--device", "cpu", "--data", "moved"]
    call(train_head, *again)
    call(predict, "r", "--data", "moved", "--features", "features/d-val-resnet18.h5")
    Image.new("RGB", (41, 41), (9, 9, 9)).save("moved/images/zoo.png")
    again[3] = 3
    said = call(train_head, *again, code=1)
    assert "zoo.png: is not the image that row" in said
    assert "was made from" in said


def test_what_is_taken_from_another_split_is_said(sets):
    questions = {"train": [1, 2], "val": [3]}
    for split, ids in questions.items():
        asked = [{"question_id": i, "image_id": i, "question": "?"} for i in ids]
        Path("q").mkdir(exist_ok=True)
        Path(f"q/{split}_questions.json").write_text(json.dumps({"questions": asked}))
    for path, name in (("train/1", "apple"), ("val/2", "pear"), ("val/3", "zoo")):
        put_images(Path("q") / path.split("/")[0], name)
        Path(f"q/{path.split('/')[0]}/{name}.png").rename(f"q/{path}.png")
    said = extract("--data", "q", "--split", "train", "--out", "q.h5")
    assert "1 images are taken from among those of the split 'val', which does not claim" in said
    extract("photos", "--out", "photos.h5")
    assert np.array_equal(pooled_by_id(Path("q.h5"))[2], pooled_by_name(Path("photos.h5"))["pear"])
