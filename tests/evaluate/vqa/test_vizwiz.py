"""VizWiz's accuracy equals its own evaluator's, rebuilt in ``reference``, on awkward answers."""

import json

import pytest
from click.testing import CliRunner
from frostgrid.evaluate.cli import score
from frostgrid.evaluate.vqa.vizwiz import count_agreeing_others, normalize_prediction
from hypothesis import given
from hypothesis import strategies as st
from reference import vizwiz_eval

AWKWARD = [
    *("Red", "red", "red.", "the red", "a", "", "don't", "dont", "don’t", "couldn'tve", "whove"),
    *("two", "Two.", "2", "10,000", "1,000 - 2", "one-two", "a/b", "x .", ".5", "3.", "no\tidea"),
    *(" unanswerable ", "unsuitable image", "none", "The", "cant", "isnt", "wheres", "oclock"),
    *("somebody’d", "’ow’sat", "a . b , c", "?!", "Yes", "yes", "twas", "hadn'tve", "weve", "İ"),
    ". " * 40,
]
TEXTS = st.sampled_from(AWKWARD) | st.text("ab.,'’- 2\tT", max_size=8)


@given(TEXTS)
def test_predictions_are_normalised_alike(text):
    assert normalize_prediction(text) == vizwiz_eval.normalize(text)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=10))
def test_credit_is_given_alike(prediction, answers):
    agreeing = count_agreeing_others(answers, prediction)
    credit = sum(min(1, n / 3) for n in agreeing) / len(answers)
    assert credit == pytest.approx(vizwiz_eval.accuracy(prediction, answers), abs=1e-12)


@pytest.fixture
def vizwiz(tmp_path, monkeypatch):
    """Questions to which each awkward answer is given by three people, and is predicted once."""
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    entries, predictions = [], {}
    for i, text in enumerate(AWKWARD):
        name = f"VizWiz_val_{i:08d}.jpg"
        said = [text, text, AWKWARD[i - 1], text, *AWKWARD[i - 3 : i], "red", "Red", "two"][:10]
        people = [{"answer": a, "answer_confidence": "yes"} for a in said or ["x"]]
        kind = ("other", "number", "unanswerable")[i % 3]
        entry = {"image": name, "question": "?", "answers": people, "answer_type": kind}
        entries.append({**entry, "answerable": int(kind != "unanswerable")})
        predictions[name] = AWKWARD[(7 * i) % len(AWKWARD)] if i % 2 else text
    (tmp_path / "val.json").write_text(json.dumps(entries))
    results = [{"image": name, "answer": said} for name, said in predictions.items()]
    (tmp_path / "preds.json").write_text(json.dumps(results))
    return tmp_path, entries, predictions


def test_a_file_is_scored_as_vizwiz_does(vizwiz):
    folder, entries, predictions = vizwiz
    arguments = [str(folder / "preds.json"), "--annotations", str(folder / "val.json")]
    result = CliRunner().invoke(score, [*arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    overall, by_type = vizwiz_eval.evaluate(entries, predictions)
    assert (found["overall"], found["per_answer_type"]) == (overall, by_type)
    assert 0 < overall < 100
    assert found["per_question_type"] == {}
    assert "rule:VizWiz-VQA-API-1.0|" in found["signature"]
