"""A small made-up set in every layout: it is known by what it holds, and read as it says."""

import json
from pathlib import Path

import pytest
from frostgrid.datasets.annotations import align_answers, load_answers
from frostgrid.datasets.captions import load_captions
from frostgrid.datasets.catalog import open_dataset
from frostgrid.datasets.ids import number_of
from frostgrid.datasets.layouts.outline import outline_of
from frostgrid.datasets.layouts.table import LAYOUTS, recognise
from frostgrid.datasets.questions import load_questions
from frostgrid.errors import InputError
from reference.layout_sets import SETS, LayoutSet, text


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))


def write(root: Path, files: dict[str, object], images: tuple[str, ...] = ()) -> Path:
    for name, content in files.items():
        path = root / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(content), "utf-8")
    for name in images:
        (root / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "set" / name).touch()
    return root / "set"


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_as_it_says(tmp_path, name):
    expected: LayoutSet = SETS[name]
    data = open_dataset(str(write(tmp_path, expected.files, expected.images)))
    assert data.splits() == expected.splits
    images = data.images("train")
    found = dict(zip(images.file_names, images.image_ids.tolist(), strict=True))
    assert found == {file: number_of(image_id) for file, image_id in expected.ids.items()}
    if expected.questions:
        questions, answers = load_questions(data, "train"), load_answers(data, "train")
        paths = data.questions_path("train"), data.annotations_path("train")
        answers = align_answers(questions, answers, *paths)
        assert {
            questions.id_names.get(number, number): (asked, answers.answers(row))
            for row, (number, asked) in enumerate(
                zip(questions.question_id.tolist(), questions.text, strict=True)
            )
        } == expected.questions
        assert set(questions.image_id.tolist()) <= set(found.values())
        assert data.official(paths[1]).rule == expected.rule
    assert data.has_captions("train") == bool(expected.captions)
    if expected.captions:
        table = load_captions(data, "train")
        assert {
            table.id_names.get(image_id, image_id): said
            for image_id, said in table.by_image().items()
        } == expected.captions
    for split in expected.splits:
        if data.has_vqa(split) or data.has_captions(split):
            assert set(data.stated_images(split).names) <= set(
                data.images(split).image_ids.tolist()
            )


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_known_under_any_name(tmp_path, name):
    """But for the split, which a name may have to say."""
    files = [f for f in SETS[name].files if not f.endswith("Images.txt")]
    folder = write(tmp_path, {Path(file).name: SETS[name].files[file] for file in files})
    for file in folder.iterdir():
        other = file.rename(folder / f"renamed{file.suffix}")
        assert recognise(other) is not None
        other.rename(file)


def test_each_layout_has_a_made_up_set_or_is_for_scores_alone(tmp_path):
    known = set()
    for name, each in SETS.items():
        folder = write(tmp_path / name, each.files)
        known |= {recognise(folder / file) for file in each.files} - {None}
    assert {layout.name for layout in LAYOUTS if not layout.loose} == {each.name for each in known}


def test_what_is_read_and_what_is_not_is_said(tmp_path):
    files = {
        "own.csv": "image,question,answer\na.jpg,What?,red\n",
        "train_captions.json": {"annotations": [{"image_id": 1, "caption": "a"}]},
        "notes.json": {"by": "me", "list": [1]},
        "preds.json": [{"image_id": 1, "caption": "a"}],
        "README.txt": "Hello, world",
    }
    notes = open_dataset(str(write(tmp_path, files))).notes()
    assert [note.partition(": ")[0] for note in notes] == [
        "own.csv is read as a table (CSV, JSON lines or a list) of image, question, answer or of "
        "image, caption",
        "notes.json is not used",
        "preds.json is not used",
    ]
    assert notes[0].endswith(": train questions, train annotations")
    assert notes[1].endswith('an object with the keys by, list, "list" of values such as 1')


def test_a_file_of_no_layout_is_said_to_be_none(tmp_path):
    folder = write(tmp_path, {"x.json": [{"img": "a.jpg", "text": "?"}]})
    message = r"Found: x\.json is not used: it holds a list of objects with the keys img, text"
    with pytest.raises(InputError, match=f"expected .* VizWiz VQA .*{message}"):
        open_dataset(str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,question,answer\na.jpg,What, then?,red\n", "line 2 has 4 values, and .* 3 columns"),
        ("image,question,answer\n,What?,red\n", "line 2 names no image"),
        (
            "image,question,answer\na.jpg,a?,red\na.jpg,b?,\n",
            "1 of 2 questions have no answer.*'b?",
        ),
        ("image,caption,split\na.jpg,a dog,fold3\n", "line 2 is of the split 'fold3'; expected on"),
        ("image,caption\n", "holds no question and no caption"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, content, message):
    with pytest.raises(InputError, match=f"own.csv: .*{message}"):
        open_dataset(str(write(tmp_path, {"own.csv": content})))


def test_a_line_that_does_not_fit(tmp_path):
    good = json.dumps({"image": "a.jpg", "question": "?", "answer": "red"})
    for line, message in [
        ("{", "line 3 is not valid JSON"),
        ('{"question": "?"}', "line 3 names no image"),
        ('{"image": "a.jpg", "question": 7}', "line 3: the question is no text"),
        (
            '{"image": "a.jpg", "question": "?", "answer": {"a": 1}}',
            "line 3 holds .* expected a te",
        ),
    ]:
        folder = write(tmp_path, {"own.jsonl": f"{good}\n{good}\n{line}\n"})
        with pytest.raises(InputError, match=f"own.jsonl: {message}"):
            open_dataset(str(folder))


def test_an_unknown_split_of_karpathys_names_those_in_the_file(tmp_path):
    images = [
        {"filename": f"{s}.jpg", "imgid": i, "split": s, "sentences": [{"raw": "a"}]}
        for i, s in enumerate(("train", "fold2"))
    ]
    data = open_dataset(str(write(tmp_path, {"any.json": {"images": images}})))
    with pytest.raises(
        InputError, match=r"'val'; the splits in it are 'train' \(1 im.*'fold2' \(1"
    ):
        load_captions(data, "val")


def test_what_was_made_is_kept_and_made_anew_if_it_is_damaged(tmp_path):
    folder = write(tmp_path, {"own.csv": "image,caption\na.jpg,a dog\n"})
    path = open_dataset(str(folder)).captions_path("train")
    before = path.stat().st_mtime_ns
    assert open_dataset(str(folder)).captions_path("train").stat().st_mtime_ns == before
    path.write_text("{")
    data = open_dataset(str(folder))
    assert load_captions(data, "train").text == ["a dog"]
    (folder / "own.csv").write_text("image,caption\na.jpg,a cat\n")
    assert load_captions(open_dataset(str(folder)), "train").text == ["a cat"]


def test_messages_name_the_users_own_file(tmp_path):
    data = open_dataset(str(write(tmp_path, {"own.csv": "image,caption\na.jpg,a dog\n"})))
    with pytest.raises(InputError, match=r"set/own\.csv: no file for the image .* \(a\.jpg\)"):
        data.images("train")


def test_the_outline_of_a_long_file_finds_the_list_behind_the_images(tmp_path):
    images = [{"id": i, "file_name": "x" * 100} for i in range(2000)]
    annotations = [{"image_id": 1, "caption": "a"}]
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert outline_of(path).entries["annotations"] == annotations[0]
    assert recognise(path).kind == "captions"
