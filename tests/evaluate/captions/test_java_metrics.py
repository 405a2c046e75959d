"""METEOR and SPICE, whose programs a stand-in for `java` plays, but for one test."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from frostgrid.evaluate.captions import java_metrics
from frostgrid.evaluate.cli import score

# METEOR's protocol and SPICE's files, with lengths for scores.
STAND_IN = """#!{python}
import json, sys
mode = open({mode!r}).read()
arguments = sys.argv[1:]
if mode == "crash":
    sys.exit("Error: Invalid or corrupt jarfile")
if "-stdio" in arguments:
    for line in sys.stdin:
        what, *parts = [part.strip() for part in line.split("|||")]
        if what == "SCORE":
            print(len(parts[-1].split()), len(parts) - 1, flush=True)
        elif mode == "nonsense":
            print("hello", flush=True)
        else:
            numbers = [int(part.split()[0]) for part in parts]
            if mode == "dies":
                numbers = numbers[:1]
            for number in [*numbers, sum(numbers)]:
                print(number / 100, flush=True)
            if mode == "dies":
                sys.exit(3)
else:
    source, target = arguments[arguments.index("-jar") + 2], arguments[arguments.index("-out") + 1]
    entries = json.load(open(source))
    found = [
        {{"image_id": e["image_id"], "scores": {{"All": {{"f": len(e["refs"]) / 10}}}}}}
        for e in entries
    ]
    json.dump(found, open(target, "w"))
"""
CAPTIONS = {
    "images": [{"id": 5}, {"id": 3}],
    "annotations": [
        {"id": 0, "image_id": 3, "caption": "A man on a bench."},
        {"id": 1, "image_id": 5, "caption": "Two cats sleep on a red sofa."},
        {"id": 2, "image_id": 5, "caption": "Cats on a sofa."},
    ],
}
RESULTS = [{"image_id": 3, "caption": "A man sits."}, {"image_id": 5, "caption": "Two cats!"}]
OPTIONS = ("preds.json", "--captions", "captions.json")


@pytest.fixture
def set_mode(tmp_path, monkeypatch):
    """A folder with predictions, a jar and a `java`; call it to say how that goes wrong."""
    monkeypatch.chdir(tmp_path)
    Path("captions.json").write_text(json.dumps(CAPTIONS))
    Path("preds.json").write_text(json.dumps(RESULTS))
    Path("some.jar").write_bytes(b"PK")
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(STAND_IN.format(python=sys.executable, mode=str(tmp_path / "mode")))
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(java.parent))
    set_mode = (tmp_path / "mode").write_text
    set_mode("")
    return set_mode


def run(*arguments, code=0):
    result = CliRunner().invoke(score, list(map(str, arguments)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_they_are_rows_and_keys_like_the_others(set_mode):
    jars = ("--meteor-jar", "some.jar", "--spice-jar", "some.jar")
    both = ("--metric", "meteor", "--metric", "spice", *jars)
    result = run(*OPTIONS, *both, "--json", "-", "--bootstrap", 50, "--per-item", "items.jsonl")
    found = json.loads(result.stdout)
    assert (found["meteor"], found["spice"]) == (0.05, pytest.approx(0.15))
    assert found["bootstrap"]["intervals"]["meteor"] == [None, None]  # no mean of images
    low, high = found["bootstrap"]["intervals"]["spice"]
    assert low <= 0.15 <= high
    assert "|meteor:some.jar#" in found["signature"]
    items = [json.loads(line) for line in Path("items.jsonl").read_text().splitlines()]
    assert [(i["image_id"], i["meteor"], i["spice"]) for i in items] == [
        (5, 0.02, 0.2),
        (3, 0.03, 0.1),
    ]
    table = run(*OPTIONS, *both).stdout
    assert re.search(r"^METEOR +2 +0\.0500$", table, re.MULTILINE)
    assert re.search(r"^SPICE +2 +0\.1500 +0\.1000 – 0\.2000$", table, re.MULTILINE)


def test_two_files_are_compared_by_them(set_mode):
    Path("poor.json").write_text(json.dumps([{**e, "caption": "a"} for e in RESULTS]))
    one = ("--metric", "meteor", "--meteor-jar", "some.jar", "--against", "poor.json")
    found = json.loads(run(*OPTIONS, *one, "--json", "-").stdout)
    meteor = found["against"]["differences"]["meteor"]
    assert meteor["difference"] == pytest.approx(0.03)
    assert meteor["p_value"] is meteor["smallest_found"] is None
    assert "METEOR" in run(*OPTIONS, *one).stdout


def test_they_are_off_by_default(set_mode, monkeypatch):
    monkeypatch.setenv("FROSTGRID_METEOR_JAR", "some.jar")
    assert "meteor" not in json.loads(run(*OPTIONS, "--json", "-").stdout)
    assert "meteor" in json.loads(run(*OPTIONS, "--metric", "meteor", "--json", "-").stdout)


@pytest.mark.parametrize(
    ("metric", "mode", "words"),
    [
        ("meteor", "crash", "stopped before it had answered (Error: Invalid or corrupt jarfile)"),
        ("meteor", "dies", "stopped before it had answered"),
        ("meteor", "nonsense", "answered 'hello', not a number"),
        ("spice", "crash", "exit code 1 and without scores (Error: Invalid or corrupt jarfile)"),
    ],
)
def test_a_program_that_fails_is_one_sentence(metric, mode, words, set_mode):
    set_mode(mode)
    said = run(*OPTIONS, "--metric", metric, f"--{metric}-jar", "some.jar", code=1).output
    assert words in said
    assert f"computed by {metric}-1" in said


def test_a_program_that_never_answers_is_ended(set_mode, monkeypatch):
    Path("bin/java").write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(java_metrics, "REPLY_SECONDS", 0.2)
    options = ("--metric", "meteor", "--meteor-jar", "some.jar")
    assert "stopped before it had answered" in run(*OPTIONS, *options, code=1).output


def test_what_is_missing_is_said(set_mode, monkeypatch):
    assert (
        "no such file; --meteor-jar expects meteor-1.5.jar"
        in run(*OPTIONS, "--metric", "meteor", "--meteor-jar", "gone.jar", code=1).output
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert (
        "FROSTGRID_SPICE_JAR, or install pycocoevalcap"
        in run(*OPTIONS, "--metric", "spice", code=1).output
    )
    Path("bin/java").unlink()
    assert (
        "needs Java, and there is no command `java`"
        in run(*OPTIONS, "--metric", "meteor", "--meteor-jar", "some.jar", code=1).output
    )


def test_answers_have_no_caption_metrics(set_mode):
    answers = [{"answer": "red", "answer_id": 1}, {"answer": "red", "answer_id": 2}]
    entry = {"question_id": 1, "image_id": 1, "answers": answers}
    Path("annotations.json").write_text(json.dumps({"annotations": [entry]}))
    Path("answers.json").write_text(json.dumps([{"question_id": 1, "answer": "red"}]))
    options = ("answers.json", "--annotations", "annotations.json", "--metric", "meteor")
    assert "holds answers, and meteor are of captions" in run(*options, code=1).output


REAL = shutil.which("java") and java_metrics.installed_jar("meteor")


@pytest.mark.skipif(not REAL, reason="needs Java and pycocoevalcap")
def test_the_real_meteor():
    """Figures of pycocoevalcap 1.2, its jar and its tokenizer, of the same captions."""
    program = java_metrics.find_program("meteor", None)
    references = [["a man on a bench"], ["two cats sleep on a red sofa", "cats on a sofa"]]
    value, each = java_metrics.meteor(program, ["a man sits", "two cats"], references)
    assert value == 0.1942327187438971
    assert each == pytest.approx(np.array([0.21961823541256342, 0.16216216216216217]))
