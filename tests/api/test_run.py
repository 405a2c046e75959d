"""A run, asked from Python, says what the commands say."""

import json
import os
from pathlib import Path

import frostgrid
import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.predict.backbone import FrozenNetwork
from PIL import Image

Set = tuple[Path, list[Path]]


@pytest.fixture(scope="module")
def photo(tiny_set: Set) -> Path:
    return tiny_set[0] / "images" / "val_503.png"


@pytest.mark.parametrize("head", ["san", "question-only"])
def test_answers_are_those_of_the_predictions_file(
    head: str, runs: dict[str, Path], tiny_set: Set
) -> None:
    run = frostgrid.load(runs[head], device="cpu")
    entries = json.loads((runs[head] / "preds.json").read_text())
    predicted = {entry["question_id"]: entry["answer"] for entry in entries}
    for question in json.loads((tiny_set[0] / "val_questions.json").read_text())["questions"]:
        path = tiny_set[0] / "images" / f"val_{question['image_id']}.png"
        answer = run.ask(path, question["question"])
        assert str(answer) == answer.text == predicted[question["question_id"]]
        assert answer.answers[0] == (answer.text, answer.probability)
        assert answer.text in run.answers
        if head == "san":
            assert answer.attention is not None
            assert answer.attention.shape == (2, 14, 14)
            assert answer.attention.sum((1, 2)) == pytest.approx([1, 1], abs=1e-4)
        else:
            assert answer.attention is None


def test_a_path_a_picture_and_an_array_are_one_photo(runs: dict[str, Path], photo: Path) -> None:
    run = frostgrid.load(runs["san"], device="cpu")
    with Image.open(photo) as picture:
        same = [photo, str(photo), picture, np.asarray(picture.convert("RGB"))]
        answers = [run.ask(each, "what color is it?", n_answers=2).answers for each in same]
        assert len(answers[0]) == 2
        assert all(each == answers[0] for each in answers)
        grey = np.asarray(picture.convert("L"))
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    assert run.ask(grey, "is it red?").answers == run.ask(opaque, "is it red?").answers


def test_a_picture_is_turned_upright_as_its_file_is(
    runs: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    run = frostgrid.load(runs["san"], device="cpu")
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # orientation: a quarter turn
        picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        answer = run.ask(turned, "is it red?")
        assert answer.answers == run.ask(tmp_path / "turned.png", "is it red?").answers
        assert answer.answers != run.ask(photo, "is it red?").answers


def test_captions_of_a_photo_and_of_a_folder(
    runs: dict[str, Path], photo: Path, tmp_path: Path
) -> None:
    run = frostgrid.load(str(runs["show-attend-tell"]), device="cpu")
    one = run.caption(photo)
    assert one.text == str(one)
    assert one.attention.shape == (len(one.words), 14, 14)
    assert all(0 < p <= 1 for _, p in one.words)
    assert len(run.caption(photo, beam=1, max_length=2).words) <= 2
    (tmp_path / "below").mkdir()
    os.link(photo, tmp_path / "b10.png")
    os.link(photo, tmp_path / "b9.png")
    (tmp_path / "below" / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"bad.jpg: is not an image"):
        run.caption(tmp_path)
    with pytest.warns(UserWarning, match=r"left out: .*bad.jpg: is not an image"):
        found = run.caption(tmp_path, on_error="skip")
    assert {name: each.text for name, each in found.items()} == dict.fromkeys(
        ["b9.png", "b10.png"], one.text
    )
    assert list(found) == ["b9.png", "b10.png"]


def test_a_second_question_to_a_photo_needs_no_network(
    runs: dict[str, Path], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = frostgrid.load(runs["san"], device="cpu")
    run.ask(photo, "is it red?")
    monkeypatch.setattr(FrozenNetwork, "extract", None)
    run.ask(photo, "what color is it?")


@pytest.mark.parametrize("head", ["san", "rnn-decoder"])
def test_results_draw_themselves(head: str, runs: dict[str, Path], photo: Path) -> None:
    run = frostgrid.load(runs[head], device="cpu")
    result = run.ask(photo, "is it red?") if run.task == "vqa" else run.caption(photo)
    picture = result.picture()
    assert picture.format == "PNG"
    assert result._repr_png_()[:4] == b"\x89PNG"
    assert len(repr(result)) < 1000


MESSAGES = [
    (lambda run, photo: run.ask("no.jpg", "is it?"), "no.jpg: cannot be read: No such file"),
    (lambda run, photo: run.ask(photo, " "), "holds no word; type a question"),
    (lambda run, photo: run.ask(photo, "is it?", n_answers=0), "n_answers is 0"),
    (lambda run, photo: run.caption(photo), "san answers questions; call ask"),
    (lambda run, photo: run.ask(7, "is it?"), "7: no photo; give the path"),
    (
        lambda run, photo: run.ask(np.zeros((4, 4, 3)), "is it?"),
        r"An array of float64 \[4, 4, 3\]; expected uint8",
    ),
    (
        lambda run, photo: run.ask(np.zeros((3, 8, 8), np.uint8), "is it?"),
        r"An array of uint8 \[3, 8, 8\]; .* move channels that come first to the end",
    ),
    (lambda run, photo: run.ask(np.zeros((0, 8), np.uint8), "is it?"), r"uint8 \[0, 8\]; expected"),
    (
        lambda run, photo: run.ask(Image.new("I", (8, 8)), "is it?"),
        "the image: holds 32-bit greys",
    ),
    (lambda run, photo: frostgrid.load("nowhere"), "config.json: no such file; train a head"),
]


@pytest.mark.parametrize(("ask", "message"), MESSAGES)
def test_what_cannot_be_asked_is_said(ask, message, runs, photo):  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        ask(frostgrid.load(runs["san"], device="cpu"), photo)


def test_a_captioning_run_is_asked_nothing(runs: dict[str, Path], photo: Path) -> None:
    with pytest.raises(InputError, match="rnn-decoder describes photos; call caption"):
        frostgrid.load(runs["rnn-decoder"], device="cpu").ask(photo, "is it red?")
    with pytest.raises(InputError, match="beam and max_length must be at least 1"):
        frostgrid.load(runs["rnn-decoder"], device="cpu").caption(photo, beam=0)


def test_features_are_made_and_a_head_is_trained_as_by_the_commands(
    tiny_set: Set, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, files = tiny_set
    monkeypatch.setenv("FROSTGRID_WEIGHTS", "random")  # defaults are the command's
    out = tmp_path / "val.h5"
    made = frostgrid.featurize(
        data=root, split="val", out=out, backbone="resnet18", image_size=64, device="cpu"
    )
    stored = frostgrid.open_features(files[1])
    assert np.array_equal(made.grid, stored.grid)
    assert "9 images" in repr(made)
    options = {"batch_size": 8, "min_word_count": 1, "amp": "off", "no_control": True}
    run = frostgrid.train_head(
        "mean-embed", data=root, features=[files[0], out], out=tmp_path / "run", epochs=2,
        device="cpu", **options,
    )  # fmt: skip
    trained = (tmp_path / "run" / "preds.json").read_text()
    assert trained == (runs["mean-embed"] / "preds.json").read_text()
    assert run.path == tmp_path / "run"
    assert run.task == "vqa"


COMMANDS = [
    (lambda: frostgrid.featurize(), "give a folder of images, or data= and split="),
    (lambda: frostgrid.featurize("nowhere"), "nowhere: no such folder"),
    (lambda: frostgrid.featurize("x", backbone="resnet19"), "Did you mean 'resnet18'"),
    (lambda: frostgrid.featurize("x", bach_size=3), "No such option '--bach-size'"),
    (lambda: frostgrid.featurize("x", split="val"), "is a plain folder of images"),
    (lambda: frostgrid.train_head("sna"), "Did you mean 'san'"),
    (lambda: frostgrid.train_head("san", data="nowhere"), "neither a known data set"),
    (lambda: frostgrid.train_head("san", seed=-1), "Invalid value for .--seed.: -1 is not"),
]


@pytest.mark.parametrize(("call", "message"), COMMANDS)
def test_what_a_command_refuses_is_an_input_error(call, message, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        call()
