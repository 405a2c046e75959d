import csv
import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from frostgrid.evaluate.cli import score


def answers_of(people):
    return [{"answer": answer, "answer_id": k + 1} for k, answer in enumerate(people)]


ANNOTATIONS = {
    "annotations": [
        {
            "question_id": i,
            "image_id": i // 2,
            "question_type": ["what is", "is the"][i % 2],
            "answer_type": ["other", "yes/no"][i % 2],
            "answers": answers_of(["yes"] * (i + 1) + ["red"] * (9 - i)),
        }
        for i in range(6)
    ]
}
CAPTIONS = {
    "images": [{"id": 5}, {"id": 3}],
    "annotations": [
        {"id": 0, "image_id": 3, "caption": "A man on a bench."},
        {"id": 1, "image_id": 5, "caption": "Two cats sleep on a red sofa."},
        {"id": 2, "image_id": 5, "caption": "Cats on a sofa."},
    ],
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = {
        "annotations.json": ANNOTATIONS,
        "captions.json": CAPTIONS,
        "yes.json": [{"question_id": i, "answer": "yes"} for i in range(6)],
        "red.json": [{"question_id": i, "answer": "red"} for i in range(6)],
        "text.json": [
            {"image_id": 3, "caption": "a man on a bench"},
            {"image_id": 5, "caption": "two dogs sleep on a red sofa"},
        ],
        "poor.json": [{"image_id": 5, "caption": "a"}, {"image_id": 3, "caption": "a bench"}],
    }
    for name, content in contents.items():
        Path(name).write_text(json.dumps(content))
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(score, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


VQA = ("--annotations", "annotations.json")


def test_json_has_exactly_the_promised_keys(files):
    found = json.loads(run("yes.json", *VQA, "--json", "-").stdout)
    assert list(found) == [
        "task",
        "n",
        "overall",
        "per_answer_type",
        "per_question_type",
        "signature",
    ]
    # 1, 2, 3, 4, 5 and 6 of ten people said yes.
    assert found["overall"] == round((30 + 60 + 90 + 100 + 100 + 100) / 6, 2)
    assert found["per_answer_type"] == {"other": 73.33, "yes/no": 86.67}
    assert found["per_question_type"] == {"what is": 73.33, "is the": 86.67}
    assert found["n"] == 6
    assert "rule:GT-Vision-Lab/VQA-a013f00|" in found["signature"]

    found = json.loads(run("text.json", "--captions", "captions.json", "--json", "-").stdout)
    assert list(found) == ["task", "n", "bleu", "rouge_l", "cider", "signature"]
    assert (found["task"], found["n"], len(found["bleu"])) == ("caption", 2, 4)
    assert 0 < found["bleu"][3] < found["bleu"][0] < 1
    assert "ptb" in found["signature"]


def test_a_json_file_beside_the_table(files):
    result = run("yes.json", *VQA, "--json", "out/scores.json")
    assert "overall" in result.stdout
    assert "80.00" in result.stdout
    assert json.loads(Path("out/scores.json").read_text())["overall"] == 80
    assert result.stdout.startswith("References: annotations.json\n")
    assert "frostgrid:" in result.stdout.splitlines()[-1]


def test_references_of_the_run_folder(files):
    run_folder = files / "runs" / "san"
    run_folder.mkdir(parents=True)
    data = files / "data"
    data.mkdir()
    (data / "test_annotations.json").write_text(json.dumps(ANNOTATIONS))
    (data / "val_captions.json").write_text(json.dumps(CAPTIONS))
    (run_folder / "preds.json").write_text((files / "yes.json").read_text())
    config = {"head": "san", "task": "vqa", "data": str(data), "split": "test", "lr": 1}
    (run_folder / "config.json").write_text(json.dumps(config))
    result = run("runs/san/preds.json")
    assert result.stdout.splitlines()[0] == (
        f"References: {data / 'test_annotations.json'} "
        f"({data}, split test, as runs/san/config.json says)"
    )
    assert "80.00" in result.stdout
    assert run("yes.json", "--data", data, "--split", "test").exit_code == 0
    (run_folder / "preds.json").write_text((files / "text.json").read_text())
    assert "CIDEr" in run("runs/san/preds.json", "--split", "val").stdout
    (run_folder / "config.json").write_text("{}")
    assert (
        "config.json: does not say what data the results are of"
        in run("runs/san/preds.json", code=1).stderr
    )


def test_several_files_give_one_table(files):
    header = run("yes.json", "red.json", *VQA, "--format", "csv").stdout.splitlines()[0]
    assert header == "metric,of,n,yes,yes low,yes high,red,red low,red high"
    result = run("yes.json", "red.json", *VQA, "--format", "json", "--bootstrap", "0")
    assert [entry["file"] for entry in json.loads(result.stdout)] == ["yes.json", "red.json"]


def test_formats(files):
    markdown = run("yes.json", *VQA, "--format", "markdown", "--bootstrap", "0").stdout
    assert "| metric | of | n | yes |\n| --- | --- | ---: | ---: |\n" in markdown
    assert "| answer type | yes/no | 3 | 86.67 |" in markdown
    latex = run("yes.json", *VQA, "--format", "latex", "--bootstrap", "0").stdout
    assert "overall &  & 6 & 80.00 \\\\" in latex
    rows = list(csv.reader(run("yes.json", *VQA, "--format", "csv").stdout.splitlines()))
    assert {len(row) for row in rows} == {6}
    assert float(rows[1][4]) <= float(rows[1][3]) <= float(rows[1][5])


def test_intervals_in_json_only_when_asked_for(files):
    found = json.loads(run("yes.json", *VQA, "--json", "-", "--bootstrap", "50").stdout)
    assert found["bootstrap"]["n"] == 50
    low, high = found["bootstrap"]["intervals"]["overall"]
    assert low <= 80 <= high
    again = json.loads(run("yes.json", *VQA, "--json", "-", "--bootstrap", "50").stdout)
    assert again == found
    other = run("yes.json", *VQA, "--json", "-", "--bootstrap", "50", "--seed", "1").stdout
    assert json.loads(other)["bootstrap"] != found["bootstrap"]


def test_against_another_file(files):
    table = run("yes.json", *VQA, "--against", "red.json").stdout
    assert "VQA accuracy, percent: yes against red" in table
    assert "Question types that changed most" in table
    assert "Images that changed most" in table
    found = json.loads(run("yes.json", *VQA, "--against", "red.json", "--json", "-").stdout)
    overall = found["against"]["differences"]["overall"]
    assert overall["value"] == 80
    assert overall["difference"] == pytest.approx(80 - overall["against"], abs=0.01)
    assert 0 < overall["p_value"] <= 1
    assert f"6 questions like these show a difference of {overall['smallest_found']:.2f}" in table
    assert re.search(r"one of [\d.]+ takes about [\d,]+$", table, re.MULTILINE)
    assert overall["n_needed"] >= 2
    types = found["against"]["changed_most"]["question_types"]
    assert sum(change["effect"] for change in types) == pytest.approx(overall["difference"])

    options = ("--captions", "captions.json", "--against", "poor.json")
    assert "Images that changed most (CIDEr)" in run("text.json", *options).stdout
    found = json.loads(run("text.json", *options, "--format", "json").stdout)
    assert found["against"]["differences"]["bleu"][0]["difference"] > 0


def test_a_file_against_itself_is_no_different(files):
    found = json.loads(run("yes.json", *VQA, "--against", "yes.json", "--json", "-").stdout)
    assert found["against"]["differences"]["overall"]["p_value"] == 1
    assert found["against"]["differences"]["overall"]["n_needed"] is None
    assert found["against"]["changed_most"] == {"question_types": [], "images": []}


def test_every_item_to_a_file(files):
    run("yes.json", *VQA, "--per-item", "items.csv")
    rows = list(csv.DictReader(Path("items.csv").read_text().splitlines()))
    assert rows[2] == {
        "question_id": "2",
        "image_id": "1",
        "question_type": "what is",
        "answer_type": "other",
        "accuracy": "90.0",
        "question": "",
        "answer": "yes",
        "truth": "red (7); yes (3)",
    }
    run("text.json", "poor.json", "--captions", "captions.json", "--per-item", "items.jsonl")
    items = [json.loads(line) for line in Path("items.jsonl").read_text().splitlines()]
    assert [(item["file"], item["image_id"]) for item in items] == [
        ("text.json", 5),
        ("text.json", 3),
        ("poor.json", 5),
        ("poor.json", 3),
    ]
    assert {"bleu_1", "bleu_4", "rouge_l", "cider"} < set(items[0])
    assert items[0]["caption"] == "two dogs sleep on a red sofa"
    assert items[0]["truth"] == ["Two cats sleep on a red sofa.", "Cats on a sofa."]


@pytest.mark.parametrize("results", ["yes.json", "yes.csv"])
def test_every_item_says_what_was_asked(files, results):
    """Also of results in other layouts, and of the ids that only the official code takes."""
    Path("yes.csv").write_text("question_id,answer\n" + "".join(f"{i},yes\n" for i in range(6)))
    asked = [{"question_id": i, "image_id": i // 2, "question": f"Is it {i}?"} for i in range(6)]
    Path("questions.json").write_text(json.dumps({"questions": asked}))
    options = (*VQA, "--questions", "questions.json", "--per-item", "items.jsonl")
    run(results, *options)
    items = [json.loads(line) for line in Path("items.jsonl").read_text().splitlines()]
    assert [item["question"] for item in items] == [f"Is it {i}?" for i in range(6)]
    assert items[1]["truth"] == {"red": 8, "yes": 2}
    assert list(items[4]["truth"]) == ["yes", "red"]  # the most frequent first
    assert {item["answer"] for item in items} == {"yes"}


def test_items_under_ids_that_are_no_numbers_have_texts_too(files):
    annotations = json.loads(Path("annotations.json").read_text())
    for entry in [
        *annotations["annotations"],
        *(results := json.loads(Path("yes.json").read_text())),
    ]:
        entry["question_id"] = f"q{entry['question_id']}"
    Path("annotations.json").write_text(json.dumps(annotations))
    Path("yes.json").write_text(json.dumps(results))
    run("yes.json", *VQA, "--per-item", "items.jsonl")
    items = [json.loads(line) for line in Path("items.jsonl").read_text().splitlines()]
    assert items[2]["question_id"] == "q2"
    assert items[2]["truth"] == {"red": 7, "yes": 3}


def test_names_that_cannot_be_printed_are_escaped(files):
    annotations = json.loads(Path("annotations.json").read_text())
    for entry in annotations["annotations"]:
        entry["question_type"] = "\ud800|\n&" + "x" * 100
    Path("annotations.json").write_text(json.dumps(annotations))
    for form in ("table", "markdown", "latex", "csv"):
        assert "\\ud800" in run("yes.json", *VQA, "--format", form).stdout.replace(
            "textbackslash{}", ""
        )
    run("yes.json", *VQA, "--per-item", "items.csv")
    assert json.loads(run("yes.json", *VQA, "--json", "-").stdout)["per_question_type"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["none.json"], "does not exist"),
        (["yes.json", *VQA, "--data", "easy-vqa"], "--annotations and --data exclude each other"),
        (["yes.json", "--questions", "yes.json"], "--questions needs --annotations"),
        (["yes.json", *VQA, "--split", "val"], "--split goes with --data or --captions"),
        (["yes.json", *VQA, "--json", "-", "--format", "csv"], "both want standard output"),
        (["yes.json", *VQA, "--against", "red.json", "--bootstrap", "0"], "--against needs"),
        (["yes.json", *VQA, "--per-item", "items.txt"], "neither in .csv nor in .jsonl"),
        (["yes.json", *VQA, "--bootstrap", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_usage(files, arguments, message):
    assert message in run(*arguments, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["yes.json"], "yes.json: there is no config.json beside it that names its references"),
        (["yes.json", "--captions", "captions.json"], "but --captions was given"),
        (["text.json", *VQA], "but --annotations was given"),
        (["yes.json", "text.json", *VQA], "hold results of different tasks"),
        (["captions.json", *VQA], "expected a list of results"),
        (["yes.json", "--data", "nowhere"], "'nowhere' is neither a known data set"),
        (["yes.json", "--annotations", "captions.json"], "annotations[0] has no 'question_id'"),
        (["text.json", "--captions", "annotations.json"], "object missing required field"),
    ],
)
def test_what_cannot_be_scored(files, arguments, message):
    result = run(*arguments, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_too_little_memory_is_one_sentence(files, monkeypatch):
    def score_files(request):
        raise MemoryError

    monkeypatch.setattr("frostgrid.evaluate.cli.score_files", score_files)
    result = run("yes.json", *VQA, code=1)
    assert "yes.json: there is not enough memory to score it" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["yes.json", "text.json"])
@pytest.mark.parametrize("part", ["results", "references"])
def test_archives_that_hold_too_much(files, monkeypatch, kind, part):
    monkeypatch.setattr("frostgrid.datasets.file_bytes.MOST_UNPACKED_BYTES", 100)
    option, references = (
        ("--annotations", "annotations.json")
        if kind == "yes.json"
        else ("--captions", "captions.json")
    )
    packed = Path(kind if part == "results" else references)
    packed.write_bytes(gzip.compress(packed.read_bytes() + b" " * 1000))
    result = run(kind, option, references, code=1)
    assert f"{packed}: a gzip file of" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "holds an empty list"),
        ([{"image_id": 3}], 'its first entry is {"image_id": 3}'),
        ([{"image_id": 3, "caption": "a"}], "1 of the 2 in captions.json have no prediction"),
        ([{"image_id": i, "caption": ""} for i in (3, 5, 3)], "entry 2: image_id 3 is captioned"),
        (
            [{"image_id": i, "caption": ""} for i in (3, 5, 9)],
            "1 of 3 predictions fit none of the 2 in captions.json (image_id 9)",
        ),
        ([{"image_id": "three", "caption": ""}], 'fit none of these (image_id "three"); give'),
        ([{"image_id": 3, "caption": None}], "[0].caption: expected `str`, got `null`"),
    ],
)
def test_caption_results_that_do_not_fit(files, entries, message):
    Path("text.json").write_text(json.dumps(entries))
    result = run("text.json", "--captions", "captions.json", code=1)
    assert message in result.stderr.removeprefix("Error: text.json: ")


@pytest.mark.parametrize(("keys", "n_people"), [(["answer"], 10), (["answer", "answer_id"], 1)])
def test_it_says_when_no_answer_can_score(files, keys, n_people):
    content = json.loads(Path("annotations.json").read_text())
    for entry in content["annotations"]:
        yes = answers_of(["yes"] * n_people)
        entry["answers"] = [{key: answer[key] for key in keys} for answer in yes]
    Path("lone.json").write_text(json.dumps(content))
    assert (
        "no answer can score on 6 of the 6 questions"
        in run("yes.json", "--annotations", "lone.json").stdout
    )
    assert "no answer can score" not in run("yes.json", *VQA).stdout
