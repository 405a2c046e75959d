"""``predict --images``, and ``--features`` of a folder: what the run says of any photos."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from frostgrid.evaluate.cli import score
from frostgrid.predict.cli import predict

Set = tuple[Path, list[Path]]


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(predict, [*map(str, words), "--device", "cpu"])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def folder(tiny_set: Set, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The validation images alone, without JSON."""
    folder = tmp_path_factory.mktemp("holiday")
    for path in (tiny_set[0] / "images").glob("val_*.png"):
        shutil.copy(path, folder / path.name)
    return folder


def by_key(path: Path, key: str, value: str) -> dict[int, str]:
    return {entry[key]: entry[value] for entry in json.loads(path.read_text())}


def test_photos_are_described_as_a_split_of_them_is(
    runs: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    run, kept = runs["show-attend-tell"], tmp_path / "kept.h5"
    call(run, "--split", "val", "--out", tmp_path / "val.json")
    expected = by_key(tmp_path / "val.json", "image_id", "caption")
    out, maps = tmp_path / "new" / "holiday.json", tmp_path / "maps.npz"
    shown = call(run, "--images", folder, "--keep-features", kept, "--out", out).stdout
    assert f"photos     9 of {folder}" in shown
    assert by_key(out, "image_id", "caption") == expected
    assert [path.name for path in out.parent.iterdir()] == ["holiday.json"]
    # A file of a plain folder needs no data set; JSON lines and CSV name the files.
    lines = tmp_path / "holiday.jsonl"
    call(run, "--features", kept, "--out", lines, "--attention", maps)
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {each["image_id"]: each["caption"] for each in records} == expected
    assert records[0]["file_name"] == "val_500.png"
    with np.load(maps) as attention:
        assert set(attention.files) == {str(image) for image in expected}
        for image, caption in expected.items():
            grid = attention[str(image)]
            n_words = len(caption.split())
            assert grid.shape == ((n_words, 14, 14) if n_words else (0, 0, 0))
            assert grid.dtype == np.float16
            assert grid.astype(np.float32).sum() == pytest.approx(n_words, abs=0.02)


@pytest.mark.parametrize("head", ["san", "question-only"])
def test_questions_on_photos_are_answered_as_those_of_a_split(
    head: str, runs: dict[str, Path], tiny_set: Set, folder: Path, tmp_path: Path
) -> None:
    expected = by_key(runs[head] / "preds.json", "question_id", "answer")
    questions = json.loads((tiny_set[0] / "val_questions.json").read_text())["questions"]
    lines, table, out = (tmp_path / name for name in ("q.jsonl", "q.csv", "out.csv"))
    lines.write_text(
        "".join(
            json.dumps({**q, "image": f"some/folder/val_{q.pop('image_id')}.png"}) + "\n"
            for q in map(dict, questions)
        )
    )
    call(runs[head], "--images", folder, "--questions", lines, "--out", out)
    with out.open() as file:
        records = list(csv.DictReader(file))
    assert {int(each["question_id"]): each["answer"] for each in records} == expected
    assert [each["question"] for each in records] == [q["question"] for q in questions]
    assert all(0 < float(each["probability"]) <= 1 for each in records)
    with table.open("w") as file:  # without ids of their own questions are numbered
        writer = csv.writer(file)
        writer.writerows([["image_id", "question"]])
        writer.writerows([[q["image_id"], q["question"]] for q in questions])
    call(runs[head], "--images", folder, "--questions", table, "--out", tmp_path / "o.json")
    found = by_key(tmp_path / "o.json", "question_id", "answer")
    assert list(found) == list(range(18))
    assert list(found.values()) == list(expected.values())


def test_one_question_is_asked_of_every_photo(
    runs: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    out, maps = tmp_path / "out.json", tmp_path / "maps.npz"
    asked = ("--question", "is it red?", "--out", out, "--attention", maps)
    call(runs["san"], "--images", folder, *asked)
    found = by_key(out, "question_id", "answer")
    assert list(found) == list(range(9))
    with np.load(maps) as attention:
        assert list(map(int, attention.files)) == list(found)
        assert attention["0"].shape == (14, 14)
    call(runs["san"], "--images", folder, "--question", "is it red?", "--format", "jsonl")
    assert (runs["san"] / f"preds-{folder.name}.jsonl").exists()


def test_a_photo_that_cannot_be_decoded_stops_or_is_left_out(
    runs: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(folder, photos)
    (photos / "val_501.png").write_bytes(b"no image")
    questions, out = tmp_path / "q.csv", tmp_path / "out.json"
    questions.write_text("image,question\nval_500.png,is it red?\nval_501.png,is it red?\n")
    asked = (runs["san"], "--images", photos, "--out", out)
    stopped = call(*asked, "--question", "is it red?", code=1)
    assert "val_501.png: is not an image" in stopped.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "q.csv"]
    shown = call(*asked, "--question", "is it red?", "--on-error", "skip").stdout
    assert "left out   1 photos that could not be decoded" in shown
    assert len(json.loads(out.read_text())) == 8
    shown = call(*asked, "--questions", questions, "--on-error", "skip").stdout
    assert "left out   1 questions on images without features: val_501.png" in shown
    assert list(by_key(out, "question_id", "answer")) == [0]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("head", ["san", "rnn-decoder"])
def test_a_split_in_other_formats_is_the_same_and_is_scored(
    form: str, head: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    official, out = tmp_path / "preds.json", tmp_path / f"other.{form}"
    call(runs[head], "--out", official)
    assert f"score it   score {out}" in call(runs[head], "--out", out).stdout
    entries = json.loads(official.read_text())
    text = out.read_text()
    lines = text.splitlines()
    records = [json.loads(x) for x in lines] if form == "jsonl" else list(csv.DictReader(lines))
    key = "answer" if head == "san" else "caption"
    assert [record[key] for record in records] == [entry[key] for entry in entries]
    assert records[0]["file_name"] == "val_500.png"
    assert head != "san" or records[0]["question"] == "what color is it?"
    assert not list(tmp_path.glob(".predict-*"))
    said = [
        CliRunner().invoke(score, [str(path), "--json", "-"]).stdout for path in (official, out)
    ]
    assert json.loads(said[0]) == json.loads(said[1])


@pytest.mark.parametrize("head", ["san", "show-attend-tell"])
def test_a_split_s_attention_is_written_under_its_ids(
    head: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    out, maps = tmp_path / "preds.json", tmp_path / "maps.npz"
    call(runs[head], "--out", out, "--attention", maps)
    key = "question_id" if head == "san" else "image_id"
    with np.load(maps) as attention:
        assert set(attention.files) == {str(entry[key]) for entry in json.loads(out.read_text())}
        some = attention[attention.files[0]].astype(np.float32)
        if head == "san":
            assert some.sum() == pytest.approx(1, abs=0.01)


USAGE = [
    (
        ("rnn-decoder", "--images", "x", "--question", "y?"),
        "describes photos and takes no question",
    ),
    (("san", "--images", "x"), "san answers questions; ask one of every photo by --question"),
    (("san", "--images", "x", "--data", "y"), "--images and --data exclude each other"),
    (("san", "--question", "y?"), "name a folder by --images, or its feature file"),
    (("san", "--keep-features", "x.h5"), "--keep-features is of use with --images alone"),
    (("mean-embed", "--attention", "x.npz"), "mean-embed has no attention over cells"),
    (("san", "--out", "x.txt"), "ends in .txt, but a .json file is written"),
]


@pytest.mark.parametrize(("words", "message"), USAGE)
def test_options_that_do_not_go_together(
    words: tuple[str, ...], message: str, runs: dict[str, Path]
) -> None:
    assert message in " ".join(call(runs[words[0]], *words[1:], code=2).stderr.split())


QUESTIONS = [
    ("photo,text\na,b\n", "its first line is 'photo,text'; expected CSV with a first line"),
    ("image,question\nnone.png,is it?\n", "line 2 is about the image 'none.png', which is not"),
    ("image,question\nval_500.png,is it, red?\n", "line 2 has 3 values"),
    ('{"image": "val_500.png"}\n', "line 1 is {'image': 'val_500.png'}; expected CSV"),
    ("[1]\n", "line 1 is '[1]'; expected CSV"),
    ("image,question,question_id\nval_500.png,a?,1\nval_500.png,b?,1\n", "has the question_id '1'"),
    ("image,question\nval_500.png, \n", "(question_id 0) holds no word"),
    ("image,question\n", "holds no question"),
]


@pytest.mark.parametrize(("text", "message"), QUESTIONS)
def test_what_is_no_question_on_a_photo_is_said(
    text: str, message: str, runs: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "q.csv"
    path.write_text(text)
    result = call(runs["question-only"], "--images", folder, "--questions", path, code=1)
    assert message in result.stderr
