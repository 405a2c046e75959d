"""Damaged JSON files: each either loads or is an ``InputError`` that names the file."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from frostgrid.datasets.annotations import align_answers, load_answers
from frostgrid.datasets.captions import load_captions
from frostgrid.datasets.catalog import open_dataset
from frostgrid.datasets.questions import load_questions
from frostgrid.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st

QUESTIONS = {
    "questions": [{"question_id": i, "image_id": i // 2, "question": "a?"} for i in range(4)]
}
ANNOTATIONS = {
    "annotations": [
        {"question_id": i, "image_id": i // 2, "answers": [{"answer": "a", "answer_id": 1}] * 2}
        for i in range(4)
    ]
}
CAPTIONS = {
    "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)],
    "annotations": [{"id": i, "image_id": i % 2, "caption": "a dog"} for i in range(4)],
}
KARPATHY = {
    "images": [
        {"filename": f"{i}.jpg", "split": "train", "imgid": i, "sentences": [{"raw": "a"}]}
        for i in range(2)
    ]
}
SCALARS = [None, True, -1, 0, 1.5, 2**63, 2**64, -(2**63) - 1, float("nan"), "x", "", "1", "\ud800"]
VALUES = st.sampled_from([*SCALARS, [], {}, [[]], [{"answer": None}], "a" * 3000, "../../x"])


@st.composite
def damaged(draw: st.DrawFn, content: dict[str, Any]) -> bytes:
    """The content as JSON after up to three changes, perhaps cut off or with bytes replaced."""
    content = deepcopy(content)
    for _ in range(draw(st.integers(0, 3))):
        node: Any = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.integers(0, 5)):
                node = node[key]
                continue
            if draw(st.booleans()):
                # A copy: a later change may go into it, and the next example must not see that.
                node[key] = deepcopy(draw(VALUES))
            elif draw(st.booleans()) and isinstance(node, list):
                node.append(node[key])
            else:
                del node[key]
            break
    data = json.dumps(content).encode()
    if draw(st.integers(0, 4)) == 0:
        position = draw(st.integers(0, len(data)))
        data = data[:position] + draw(
            st.sampled_from([b"", b"\xff", b"\0" + data[position:], b"["])
        )
    return draw(st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf", b"\x1f\x8b"])) + data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for path in folder.glob("*.json"):
        path.unlink()
    for i in range(2):
        (folder / f"{i}.jpg").touch()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def check(folder: Path, load: Any) -> None:
    try:
        load()
    except InputError as error:
        assert str(folder) in str(error)  # noqa: PT017 - loading without error is right too


@given(damaged(QUESTIONS), damaged(ANNOTATIONS))
@settings(deadline=None, max_examples=200)
def test_vqa(folder, questions, annotations):
    put(folder, {"train_questions.json": questions, "train_annotations.json": annotations})
    data = open_dataset(str(folder))
    paths = data.questions_path("train"), data.annotations_path("train")
    check(folder, lambda: data.images("train"))
    check(
        folder,
        lambda: align_answers(load_questions(data, "train"), load_answers(data, "train"), *paths),
    )


@given(
    st.one_of(
        st.tuples(st.just("train_captions.json"), damaged(CAPTIONS)),
        st.tuples(st.just("dataset_coco.json"), damaged(KARPATHY)),
    )
)
@settings(deadline=None, max_examples=200)
def test_captions(folder, file):
    data = open_dataset(str(put(folder, dict([file]))))
    check(folder, lambda: data.images("train"))
    check(folder, lambda: load_captions(data, "train"))
