"""Every layout of results files gives the scores of the official one, and is named."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from frostgrid.evaluate.cli import score
from frostgrid.evaluate.layouts import open_results
from hypothesis import given
from hypothesis import strategies as st

ANSWERS = {10: "dog", 20: "cat, or so", 30: 'a "cat"\n', 40: "", 50: "\u2028dog"}
CAPTIONS = {1: "a dog on the grass", 2: "two cups, on a table", 3: "a red bus"}


def annotations(ids: list[object]) -> dict[str, object]:
    people = [{"answer": "dog" if k < 8 else "cat", "answer_id": k} for k in range(1, 11)]
    types = {"question_type": "what", "answer_type": "other"}
    return {
        "annotations": [{"question_id": i, "image_id": 1, "answers": people} | types for i in ids]
    }


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("ann.json", annotations(list(ANSWERS)))
    write("ann_text.json", annotations([str(i) for i in ANSWERS]))
    images = [{"id": i} for i in CAPTIONS]
    given = [{"id": i, "image_id": i, "caption": text} for i, text in CAPTIONS.items()]
    write("refs.json", {"images": images, "annotations": given})


def write(name: str, content: object) -> str:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    Path(name).write_bytes(text.encode())
    return name


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(score, [*arguments, "--bootstrap", "0"])
    assert result.exit_code == code, result.output
    return result


def entries(
    keys: tuple[str, str], texts: dict[int, str], kind: type = int
) -> list[dict[str, object]]:
    return [{keys[0]: kind(i), keys[1]: text, "model": "m"} for i, text in texts.items()]


def lines(items: list[dict[str, object]]) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def table(items: list[dict[str, object]], delimiter: str = ",") -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, items[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(items)
    return file.getvalue()


def sample(i: int, **more: object) -> dict[str, object]:
    """A line of lmms-eval's log."""
    return {"doc_id": i, "input": "?", "target": "dog", "doc_hash": "0", **more}


QA, IC = ("question_id", "answer"), ("image_id", "caption")
LLAVA = ("question_id", "text")
VQA_LAYOUTS = {
    "lines": (lines(entries(QA, ANSWERS)), "JSON lines with question_id and answer"),
    "blank lines": ("\n" + lines(entries(QA, ANSWERS)).replace("\n", "\r\n\n"), "JSON lines with"),
    "LLaVA": (lines(entries(LLAVA, ANSWERS)), "JSON lines with question_id and text"),
    "CSV": (table(entries(QA, ANSWERS)), "CSV with question_id and answer"),
    "CSV of pandas": (table(entries(QA, ANSWERS, float)), "CSV with question_id and answer"),
    "CSV of a German Excel": (table(entries(QA, ANSWERS), ";"), "CSV with question_id and answer"),
    "TSV": (table(entries(QA, ANSWERS), "\t"), "CSV with question_id and answer"),
    "object": ({str(i): text for i, text in ANSWERS.items()}, "an object {id: text}"),
    "results": (
        {"results": entries(QA, ANSWERS)},
        'the list "results" with question_id and answer',
    ),
    "prediction": (
        entries(("question_id", "prediction"), ANSWERS),
        "a list with question_id and prediction",
    ),
    "lmms-eval, test": (
        lines(
            [
                sample(i, filtered_resps=["?"], submission={"question_id": i, "answer": text})
                for i, text in ANSWERS.items()
            ]
        ),
        "samples of lmms-eval with question_id and answer",
    ),
    "lmms-eval, with documents": (
        lines(
            [
                sample(k, doc={"question_id": i, "question": "?"}, filtered_resps=[[text]])
                for k, (i, text) in enumerate(ANSWERS.items())
            ]
        ),
        "samples of lmms-eval with question_id and answer",
    ),
}
CAPTION_LAYOUTS = {
    "lines": (lines(entries(IC, CAPTIONS)), "JSON lines with image_id and caption"),
    "CSV": (table(entries(IC, CAPTIONS)), "CSV with image_id and caption"),
    "object": ({str(i): text for i, text in CAPTIONS.items()}, "an object {id: text}"),
    "pycocoevalcap": ({str(i): [text] for i, text in CAPTIONS.items()}, "an object {id: text}"),
    "tokenized": (
        {str(i): [{"image_id": i, "caption": text}] for i, text in CAPTIONS.items()},
        "an object {id: text}",
    ),
    "lmms-eval": (
        lines(
            [
                sample(
                    i, filtered_resps=["?"], coco_CIDEr={"answer": [], "pred": text, "image_id": i}
                )
                for i, text in CAPTIONS.items()
            ]
        ),
        "samples of lmms-eval with image_id and caption",
    ),
}


@pytest.mark.parametrize("name", VQA_LAYOUTS)
def test_answers_score_as_in_the_official_layout(name: str) -> None:
    content, layout = VQA_LAYOUTS[name]
    official = run(write("x", entries(QA, ANSWERS)), "--annotations", "ann.json")
    other = run(write("x", content), "--annotations", "ann.json")
    said, rest = other.stdout.split("\n", 1)
    assert said.startswith(f"Predictions: x: {layout}")
    assert rest == official.stdout
    assert "Predictions" not in official.stdout


@pytest.mark.parametrize("name", CAPTION_LAYOUTS)
def test_captions_score_as_in_the_official_layout(name: str) -> None:
    content, layout = CAPTION_LAYOUTS[name]
    official = run(write("x", entries(IC, CAPTIONS)), "--captions", "refs.json")
    other = run(write("x", content), "--captions", "refs.json")
    said, rest = other.stdout.split("\n", 1)
    assert said == f"Predictions: x: {layout}"
    assert rest == official.stdout


@pytest.mark.parametrize("form", [str, float, lambda i: f"{i}.0"])
@pytest.mark.parametrize("regular", [True, False])
def test_ids_may_be_written_otherwise_where_those_of_the_references_are_numbers(form, regular):
    answers = [{"question_id": form(i), "answer": text} for i, text in ANSWERS.items()]
    captions = [{"image_id": form(i), "caption": text} for i, text in CAPTIONS.items()]
    if not regular:  # read entry by entry
        content = annotations(list(ANSWERS))
        content["annotations"][0]["answers"][0].pop("answer_id")
        write("ann.json", content)
    expected = run(write("x", entries(QA, ANSWERS)), "--annotations", "ann.json").stdout
    assert run(write("x", answers), "--annotations", "ann.json").stdout == expected
    expected = run(write("x", entries(IC, CAPTIONS)), "--captions", "refs.json").stdout
    assert run(write("x", captions), "--captions", "refs.json").stdout == expected


def test_numbers_and_text_are_one_in_references_too() -> None:
    write("x", {str(i): text for i, text in ANSWERS.items()})
    expected = run(write("y", entries(QA, ANSWERS)), "--annotations", "ann.json").stdout
    for results in ("x", "y"):
        scored = run(results, "--annotations", "ann_text.json").stdout
        assert scored.splitlines()[-3:] == expected.splitlines()[-3:]


def test_one_question_answered_under_two_forms_of_its_id_is_refused() -> None:
    twice = [*entries(QA, ANSWERS), {"question_id": "20", "answer": "dog"}]
    result = run(write("x", twice), "--annotations", "ann.json", code=1)
    assert "x: question_id 20 is answered twice, once as a number and once as a string" in (
        result.stderr
    )


def test_the_layout_is_said_beside_json_too_and_files_may_be_packed() -> None:
    Path("x.jsonl.gz").write_bytes(gzip.compress(lines(entries(QA, ANSWERS)).encode()))
    result = run("x.jsonl.gz", "--annotations", "ann.json", "--json", "-")
    assert json.loads(result.stdout)["n"] == 5
    assert "Predictions: x.jsonl.gz: JSON lines" in result.stderr


MISFITS = {
    "[]": "holds an empty list; expected a list of results",
    "{}": "holds an empty object; expected a list of results",
    "": 'its first line is ""; expected a list of results',
    "id,answer\n1,dog\n": 'its first line is "id,answer"',
    "question_id,answer\n": "holds no result below its first line",
    "question_id,answer\n10,a dog, a cat\n": "line 2 has 3 values, and the first line names 2",
    '{"10": "dog", "10": "cat"}': 'has "10" 2 times; keep one',
    '{"10": 3}': 'holds {"10": 3}; expected a list of results',
    '{"10": ["a", "b"]}': 'holds {"10": ["a", "b"]}; expected a list of results',
    '{"question_id": 10, "answer": "a"}\n{"question_id": 20, "ans': "line 2 is not valid JSON",
    '{"question_id": 10, "answer": "a"}\n{"question_id": 20}': 'line 2 is {"question_id": 20}',
    '{"question_id": 10, "answer": "a"}\n7': "line 2 is 7; expected an object",
    '{"doc_id": 0, "filtered_resps": ["dog"]}': "names no question and no image",
    '{"doc_id": 0, "filtered_resps": ["a", "b"], "doc": {"question_id": 1}}': "names no question",
    '{"question_id": 10, "answer": "a", "prediction": "b"}': "of which one may be the truth",
    "question_id,answer,text\n10,a,b\n": 'its first entry has "answer" and "text"',
    '{"question_id": 10, "answer": 3}\n': 'entry 0 (question_id 10): "answer" is 3',
    '{"results": [{"id": 1}]}': 'its first entry is {"id": 1}',
}


@pytest.mark.parametrize("text", MISFITS)
def test_what_is_in_no_layout_is_told(text: str) -> None:
    result = run(write("x", text), "--annotations", "ann.json", code=1)
    assert result.stderr.startswith("Error: x: ")
    assert MISFITS[text] in result.stderr


def test_an_object_of_texts_needs_to_know_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    write("x", {"10": "dog"})
    result = run("x", "--data", "easy-vqa", code=1)
    assert "does not say whether the texts are answers or captions; give --annotations" in (
        result.stderr
    )


def test_the_run_folder_says_whether_an_object_holds_answers_or_captions(tmp_path: Path) -> None:
    write("val_annotations.json", annotations(list(ANSWERS)))
    write("config.json", {"task": "vqa", "data": str(tmp_path), "split": "val"})
    shown = run(write("preds.json", {str(i): text for i, text in ANSWERS.items()})).stdout
    assert "Predictions: preds.json: an object {id: text}\nReferences: " in shown


@given(st.dictionaries(st.integers(0, 2**63 - 1), st.text(st.characters(codec="utf-8"))))
def test_any_texts_survive_every_layout(texts: dict[int, str]) -> None:
    if not texts:
        return
    csv_texts = {i: text.replace("\0", "") for i, text in texts.items()}
    expected = [(i, text) for i, text in texts.items()]
    made = {
        "lines": (lines(entries(QA, texts)), expected),
        "object": ({str(i): text for i, text in texts.items()}, [(str(i), t) for i, t in expected]),
        "CSV": (table(entries(QA, csv_texts)), [(str(i), t) for i, t in csv_texts.items()]),
    }
    for content, found in made.values():
        assert open_results(Path(write("any", content))).entries == found
