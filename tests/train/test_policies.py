"""What is left out, held out or trained on besides: the runs as one types them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import write_split
from frostgrid.evaluate.cli import score
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.reader import open_features
from frostgrid.predict.cli import predict
from frostgrid.report.cli import compare
from frostgrid.train.inputs import open_inputs
from frostgrid.train.run_folder import RunFolder
from reference.runs import lines, run_head, same_state

SMALL = ("--epochs", "2", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")
Set = tuple[Path, list[Path]]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `compare` puts its page."""
    monkeypatch.chdir(tmp_path)


def extract(root: Path, split: str, *more: object) -> Path:
    out = root / f"{split}.h5"
    words = ["--weights", "random", "--image-size", "64", "--data", root, "--split", split]
    words += ["--out", out, "--device", "cpu", *more]
    featurize.main([str(word) for word in words], standalone_mode=False)
    return out


def config_of(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


def call(command, *words: object, code: int = 0) -> str:
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Set:
    """A set of 12 + 8 images: of training one is broken, of validation two are not extracted."""
    root = tmp_path_factory.mktemp("holed")
    write_split(root, "train", 12, 100)
    write_split(root, "val", 8, 500)
    (root / "images" / "train_103.png").write_bytes(b"no image")
    files = [extract(root, "train", "--on-error", "skip"), extract(root, "val", "--limit", 6)]
    return root, files


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Set:
    """A set whose two splits have the same image ids."""
    root = tmp_path_factory.mktemp("twins")
    write_split(root, "train", 6, 100)
    write_split(root, "val", 4, 100)
    return root, [extract(root, "train"), extract(root, "val")]


@pytest.fixture(scope="module")
def alone(tiny_set: Set, tmp_path_factory: pytest.TempPathFactory) -> Set:
    """A set without a split to validate on."""
    root, files = tiny_set
    folder = tmp_path_factory.mktemp("alone")
    for path in root.glob("train_*.json"):
        shutil.copy(path, folder)
    (folder / "images").symlink_to(root / "images")
    return folder, files[:1]


@pytest.mark.parametrize("head", ["mean-embed", "question-only", "rnn-decoder"])
def test_what_has_no_features_is_left_out_by_the_users_word(head, holed, tmp_path, empty_cache):
    features = [f"--features={file}" for file in holed[1]] * (head == "question-only")
    if not features:
        refused = run_head(head, holed, tmp_path / "no", *SMALL, code=1)
        assert "--missing skip" in refused
    run = tmp_path / "run"
    output = run_head(head, holed, run, *SMALL, "--missing", "skip", *features, control=True)
    assert "2 of the train" in output
    assert "on 1 images: without features (1 failed to be extracted)" in output
    assert "4 of the val" in output
    assert "on 2 images: without features (2 not in the feature file" in output
    config = config_of(run)
    assert config["missing"] == "skip"
    assert config["left_out"] == {"missing": {"images": 2, "texts": 4}}
    assert config["left_out_of_training"] == {"missing": {"images": 1, "texts": 2}}
    assert ("over blind, 95 % interval" in output) == (head != "question-only")
    n, of, left = (6, 8, 2) if head == "rnn-decoder" else (12, 16, 4)
    assert f"|n:{n}|of:{of}|left-out:missing={left}|" in call(score, run / "preds.json")


@pytest.mark.parametrize("head", ["mean-embed", "rnn-decoder"])
def test_a_resumed_run_leaves_out_the_same(head, holed, tmp_path):
    more = ("--batch-size", "8", "--min-word-count", "1", "--amp", "off", "--missing", "skip")
    more = (*more, "--limit", "5", "--recipe", "report")
    run_head(head, holed, tmp_path / "whole", *more, "--epochs", "3")
    run_head(head, holed, tmp_path / "parts", *more, "--epochs", "2")
    words = ["--resume", tmp_path / "parts", "--epochs", "3", "--device", "cpu"]
    from frostgrid.train.cli import train_head

    output = call(train_head, *words)
    assert "beyond --limit" in output
    same_state(tmp_path / "whole", tmp_path / "parts")
    assert config_of(tmp_path / "whole")["left_out"] == config_of(tmp_path / "parts")["left_out"]
    assert "cannot go with --resume" in call(train_head, *words, "--limit", "4", code=2)


def test_a_resumed_run_sees_that_more_has_been_extracted(holed, tmp_path):
    root, files = holed
    run = tmp_path / "run"
    run_head("mean-embed", holed, run, *SMALL, "--missing", "skip")
    (tmp_path / "more").mkdir()
    for path in root.glob("*.json"):
        shutil.copy(path, tmp_path / "more")
    (tmp_path / "more" / "images").symlink_to(root / "images")
    val = extract(tmp_path / "more", "val")
    words = ["--resume", run, "--features", files[0], "--features", val, "--device", "cpu"]
    from frostgrid.train.cli import train_head

    assert "the validation images" in call(train_head, *words, "--epochs", "3", code=1)


@pytest.mark.parametrize("head", ["question-only", "mean-embed", "rnn-decoder"])
def test_a_part_of_training_is_held_out_where_nothing_else_is(head, alone, tmp_path, empty_cache):
    refused = run_head(head, alone, tmp_path / "no", *SMALL, code=1)
    assert "add --hold-out 0.1" in refused
    run = tmp_path / "run"
    output = run_head(head, alone, run, *SMALL, "--hold-out", "0.2", control=True)
    assert "validation on 4 images of train that are held out" in output
    assert ("over blind" in output) == (head != "question-only")
    inputs = open_inputs(RunFolder(run).read_config())
    trained, held = inputs.division.train[0].known_ids, inputs.division.val.known_ids
    assert np.intersect1d(trained, held).size == 0
    assert sorted([*trained, *held]) == list(range(100, 118))
    scored = call(score, run / "preds.json")
    n, of = (4, 18) if head == "rnn-decoder" else (8, 36)
    assert f"|n:{n}|of:{of}|left-out:hold_out={of - n}|" in scored


def test_what_is_held_out_follows_its_own_seed_alone(alone, tmp_path):
    runs = {"one": (), "again": ("--seed", "3"), "other": ("--hold-out-seed", "3")}
    for name, more in runs.items():
        run_head("mean-embed", alone, tmp_path / name, *SMALL, "--hold-out", "0.2", *more)
    one, again, other = (config_of(tmp_path / name)["digests"]["val_images"] for name in runs)
    assert one == again != other
    assert "different data" not in call(compare, tmp_path / "one", tmp_path / "again")
    assert "different data" in call(compare, tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("head", ["mean-embed", "rnn-decoder"])
def test_both_splits_are_trained_on_and_nothing_is_scored(head, twins, tmp_path):
    run = tmp_path / "run"
    output = run_head(head, twins, run, *SMALL, "--split", "trainval", control=True)
    assert "validation none: trained on train and val; nothing is scored" in output
    assert "kept       the last epoch, 2" in output
    assert not (run / "preds.json").exists()
    assert "val_loss" not in lines(run)[-1]
    assert "20 train on 10 images" in output
    assert "without validation" in call(compare, run, code=1)
    shown = call(predict, run, "--split", "val", "--device", "cpu")
    assert "was trained on the split val too" in shown
    assert "wrote      8 answers" in shown or "wrote      4 captions" in shown


def test_both_splits_are_trained_on_in_memory_alike(twins, tmp_path):
    losses = []
    for step in ("plain", "captured"):
        more = ("--split", "trainval", "--step", step)
        run_head("mean-embed", twins, tmp_path / step, *SMALL, *more)
        losses.append(lines(tmp_path / step)[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)  # dropout draws otherwise


def test_images_of_both_splits_are_told_apart(twins, tmp_path):
    run = tmp_path / "run"
    run_head("mean-embed", twins, run, *SMALL, "--split", "trainval")
    inputs = open_inputs(RunFolder(run).read_config())
    rows = inputs.train.rows(np.arange(10))
    found = inputs.train.gather(rows, torch.device("cpu")).values.numpy()
    files = [open_features(path) for path in twins[1]]
    expected = np.concatenate(
        [
            np.asarray(f.pooled)[f.rows(np.arange(100, 100 + n))]
            for f, n in zip(files, (6, 4), strict=True)
        ]
    )
    assert np.array_equal(found, expected)


def test_a_run_on_both_splits_holds_out_of_the_validation_split(twins, tmp_path, empty_cache):
    run = tmp_path / "run"
    more = ("--split", "trainval", "--hold-out", "0.5")
    output = run_head("mean-embed", twins, run, *SMALL, *more, control=True)
    assert "16 train, 4 val on 8 and 2 images" in output
    assert "validation on 2 images of val that are held out" in output
    assert "over blind" in output
    assert "|n:4|of:8|left-out:hold_out=4|" in call(score, run / "preds.json")


def test_prediction_leaves_out_what_has_no_features(holed, runs, tmp_path):
    root, files = holed
    for head, n, of, left in (("mean-embed", 12, 16, 4), ("rnn-decoder", 6, 8, 2)):
        words = [runs[head], "--data", root, "--features", files[1], "--device", "cpu"]
        out = tmp_path / f"{head}.json"
        assert "--missing skip" in call(predict, *words, "--out", out, code=1)
        shown = call(predict, *words, "--out", out, "--missing", "skip")
        assert "4 of the val" in shown
        assert f"|n:{n}|of:{of}|left-out:missing={left}|" in call(score, out)
        assert len(json.loads(out.read_text())) == n


def test_images_that_were_not_downloaded_are_left_out(tmp_path):
    write_split(tmp_path, "train", 4, 100)
    write_split(tmp_path, "val", 4, 500)
    (tmp_path / "images" / "train_102.png").unlink()
    with pytest.raises(Exception, match="no file for the image 102"):
        extract(tmp_path, "train")
    files = [extract(tmp_path, "train", "--on-error", "skip"), extract(tmp_path, "val")]
    assert open_features(files[0]).image_id.tolist() == [100, 101, 103]
    output = run_head(
        "mean-embed", (tmp_path, files), tmp_path / "run", *SMALL, "--missing", "skip"
    )
    assert "on 1 images: without features (1 not in the feature files)" in output


def test_one_file_of_all_splits_may_have_none_to_validate_on(tmp_path):
    write_split(tmp_path, "train", 6, 100)
    content = json.loads((tmp_path / "train_captions.json").read_text())
    texts = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        texts[entry["image_id"]].append({"raw": entry["caption"]})
    images = [
        {
            "filename": i["file_name"],
            "split": "train",
            "imgid": i["id"],
            "sentences": texts[i["id"]],
        }
        for i in content["images"]
    ]
    for path in tmp_path.glob("train_*.json"):
        path.unlink()
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    some = tmp_path, [extract(tmp_path, "train")]
    refused = run_head("rnn-decoder", some, tmp_path / "run", *SMALL, code=1)
    assert "to validate on a tenth of the training images, add --hold-out 0.1" in refused
    run_head("rnn-decoder", some, tmp_path / "run", *SMALL, "--hold-out", "0.3")
