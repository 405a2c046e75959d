from collections import Counter

import numpy as np
import pytest
from frostgrid.datasets.annotations import load_answers
from frostgrid.datasets.captions import load_captions
from frostgrid.datasets.catalog import open_dataset
from frostgrid.datasets.easy_vqa import EasyVqa, question_ids, question_type
from frostgrid.datasets.easy_vqa_attributes import (
    find_attributes,
    measure_color,
    measure_shape,
    read_pixels,
    stated_by,
)
from frostgrid.datasets.formats import Annotations, decode
from frostgrid.datasets.questions import load_questions
from frostgrid.errors import InputError


@pytest.fixture(scope="module")
def data() -> EasyVqa:
    return EasyVqa()


def test_sizes_are_those_of_the_published_set(data):
    assert open_dataset("easy-vqa").splits() == ("train", "val")
    assert [len(data.images(split)) for split in ("train", "val")] == [4000, 1000]
    assert [len(load_questions(data, split)) for split in ("train", "val")] == [38575, 9673]
    assert (
        len({text for split in ("train", "val") for text in load_answers(data, split).texts}) == 13
    )


def test_images_lie_in_the_package_under_their_ids(data):
    images = data.images("val")
    assert images.image_ids.tolist() == list(range(1000))
    assert images.path(7).name == "7.png"
    assert images.path(7).is_file()


def test_test_is_another_name_of_val(data):
    assert data.questions_path("test") == data.questions_path("val")
    assert data.images("test").root == data.images("val").root
    with pytest.raises(InputError, match=r"easy-vqa has no split 'dev'; it has train and val\."):
        data.images("dev")
    assert not data.has_vqa("dev")


def test_questions_and_answers_keep_the_packages_content(data):
    questions, answers = load_questions(data, "val"), load_answers(data, "val")
    entries = data.entries("val")
    assert questions.text == [question for question, _, _ in entries]
    assert questions.image_id.tolist() == [image_id for _, _, image_id in entries]
    assert (questions.question_id // 1000 == questions.image_id).all()
    assert (answers.question_id == questions.question_id).all()
    assert answers.answers(0) == [entries[0][1]] * 10
    assert [answers.answers(q)[9] for q in range(len(answers))] == [a for _, a, _ in entries]


def test_annotations_are_in_the_official_form(data):
    annotations = decode(data.annotations_path("val"), Annotations).annotations
    assert [answer.answer_id for answer in annotations[5].answers] == list(range(1, 11))
    kinds = Counter((a.question_type, a.answer_type) for a in annotations)
    assert set(kinds) == {
        ("what color", "other"),
        ("what shape", "other"),
        ("is there", "yes/no"),
        ("is there no", "yes/no"),
    }
    # The package's own count of yes/no questions in its test set.
    assert sum(n for (_, answer_type), n in kinds.items() if answer_type == "yes/no") == 7136


def test_question_ids_run_within_an_image():
    assert question_ids([("", "", 3), ("", "", 3), ("", "", 5)]) == [3000, 3001, 5000]


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("what is the red shape?", "circle", "what shape"),
        ("what color is the circle?", "red", "what color"),
        ("is there a circle?", "no", "is there"),
        ("is no red shape present?", "no", "is there no"),
        ("is there not a red shape?", "yes", "is there no"),
    ],
)
def test_question_type(question, answer, kind):
    assert question_type(question, answer) == kind


@pytest.mark.parametrize(
    ("question", "answer", "told"),
    [
        ("what is the red shape?", "circle", {("color", "red"), ("shape", "circle")}),
        ("what color is the circle?", "red", {("color", "red"), ("shape", "circle")}),
        ("is there a circle?", "yes", {("shape", "circle")}),
        ("is there a circle?", "no", set()),
        ("is no red shape present?", "no", {("color", "red")}),
        ("does the image not contain a red shape?", "yes", set()),
    ],
)
def test_what_a_question_tells(question, answer, told):
    assert set(stated_by(question, answer)) == told


def test_measuring_agrees_with_what_the_questions_tell(data):
    images = data.images("val")
    told: dict[int, dict[str, str]] = {}
    for question, answer, image_id in data.entries("val"):
        told.setdefault(image_id, {}).update(stated_by(question, answer))
    compared = 0
    for row in range(0, 1000, 5):
        pixels = read_pixels(images.path(row))
        known = told[int(images.image_ids[row])]
        assert known.get("color") in (None, measure_color(pixels))
        assert known.get("shape") in (None, measure_shape(pixels))
        compared += len(known)
    assert compared > 300


def test_contradicting_questions_are_an_error(data):
    entries = [("what color is the shape?", "red", 0), ("is there a blue shape?", "yes", 0)]
    with pytest.raises(InputError, match="the image 0 contradict each other: red and blue"):
        find_attributes(entries, data.images("val"))


def test_captions_speak_of_colour_and_shape(data):
    captions = load_captions(data, "val")
    assert len(captions) == 5000
    assert (np.diff(captions.image_id) >= 0).all()
    by_image = captions.by_image()
    attributes = find_attributes(data.entries("val"), data.images("val"))
    assert by_image[0][0] == f"a {attributes[0].color} {attributes[0].shape}"
    for image_id, texts in by_image.items():
        assert len(set(texts)) == 5
        known = attributes[image_id]
        assert all(known.color in text and known.shape in text for text in texts)


def test_files_are_derived_once(data):
    path = data.questions_path("val")
    before = path.stat().st_mtime_ns
    assert EasyVqa().questions_path("val").stat().st_mtime_ns == before
    path.unlink()
    assert data.questions_path("val").exists()


def test_cache_that_cannot_be_written_is_an_error_that_says_what_to_do(data, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"val_questions\.json: cannot be .* set FROSTGRID_CACHE"):
        data.questions_path("val")
