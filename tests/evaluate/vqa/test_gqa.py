"""GQA's scores equal those of its published eval.py, rebuilt in ``reference``."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from frostgrid.evaluate.cli import score
from reference import gqa_eval

WORDS = ["red", "Red", "yes", "no", "color", "shape", "cat ", "cat", "", "blue"]


def make_questions(rng: np.random.Generator, n: int, balanced: float) -> dict:
    """Questions under ids with and without leading zeros, some of which entail others."""
    ids = [f"{rng.integers(0, 10**9):09d}" for _ in range(n)]
    kinds = ["query", "verify", "choose", "logical", "compare"]
    return {
        key: {
            "imageId": str(rng.integers(1, 6)) if i % 2 else f"n{rng.integers(1, 4)}",
            "question": "What is it?",
            "answer": str(rng.choice(WORDS[:-2])),
            "isBalanced": bool(rng.random() < balanced),
            "types": {
                "structural": str(rng.choice(kinds)),
                "semantic": "attr",
                "detailed": "twoCommon" if rng.random() < 0.2 else "existAttr",
            },
            "groups": {"global": None if rng.random() < 0.2 else f"g{rng.integers(3)}"},
            "entailed": [key, *map(str, rng.choice(ids, rng.integers(0, 4)))][rng.integers(2) :],
        }
        for i, key in enumerate(ids)
    }


def run(folder, predictions: dict[str, str], *more: str):
    results = [{"questionId": key, "prediction": said} for key, said in predictions.items()]
    (folder / "preds.json").write_text(json.dumps(results))
    arguments = ["--annotations", str(folder / "val_all_questions.json"), *more]
    return CliRunner().invoke(score, [str(folder / "preds.json"), *arguments])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(("seed", "balanced"), [(0, 0.7), (1, 1.0), (2, 0.2), (3, 0.5)])
def test_all_metrics_are_those_of_the_published_code(folder, seed, balanced):
    rng = np.random.default_rng(seed)
    questions = make_questions(rng, 60, balanced)
    choices = {
        key: {"valid": list(map(str, rng.choice(WORDS, 3))), "plausible": [str(rng.choice(WORDS))]}
        for key in questions
    }
    predictions = {
        key: each["answer"] if rng.random() < 0.6 else str(rng.choice(WORDS))
        for key, each in questions.items()
    }
    (folder / "val_all_questions.json").write_text(json.dumps(questions))
    (folder / "val_choices.json").write_text(json.dumps(choices))
    expected = gqa_eval.evaluate(questions, choices, predictions)
    result = run(folder, predictions, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["overall"] == round(expected["accuracy"], 2)
    assert found["per_answer_type"].get("open", 0) == round(expected["open"], 2)
    assert found["per_answer_type"].get("binary", 0) == round(expected["binary"], 2)
    assert found["gqa"] == {
        name: pytest.approx(expected[name], abs=0.005)
        for name in ("consistency", "validity", "plausibility", "distribution")
    }
    assert "rule:GQA-eval.py-1.2|" in found["signature"]
    table = run(folder, predictions)
    for name in ("consistency", "validity", "plausibility", "distribution"):
        assert name in table.output


def test_what_the_files_do_not_tell_is_left_out(folder):
    questions = make_questions(np.random.default_rng(4), 20, 1.0)
    first = next(iter(questions))
    questions[first]["entailed"] = ["123456789"]
    (folder / "val_all_questions.json").write_text(json.dumps(questions))
    predictions = {key: each["answer"] for key, each in questions.items()}
    result = run(folder, predictions, "--json", "-")
    assert set(json.loads(result.stdout)["gqa"]) == {"distribution"}


def test_each_balanced_question_needs_a_prediction(folder):
    questions = make_questions(np.random.default_rng(5), 20, 0.5)
    (folder / "val_all_questions.json").write_text(json.dumps(questions))
    balanced = [key for key, each in questions.items() if each["isBalanced"]]
    predictions = {key: "red" for key in balanced}
    assert run(folder, predictions).exit_code == 0
    result = run(folder, dict.fromkeys(balanced[1:], "red"))
    assert f"1 of the {len(balanced)} in" in result.stderr
    result = run(folder, {**predictions, "x": "red"})
    assert "fit none of the" in result.stderr
