"""OK-VQA is scored by the VQA rule on its stemmed ``answer``, whatever its ``raw_answer`` says."""

import json

from click.testing import CliRunner
from frostgrid.evaluate.cli import score
from reference import vqa_eval

STEMMED = ["surf", "pony tail", "race", "2", "10,000", "it's", "a", "", "don't", "Two.", "the red"]


def test_a_file_is_scored_on_its_stemmed_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    entries, predictions = [], []
    for i in range(60):
        said = [STEMMED[(i * (k % 4) + k // 3) % len(STEMMED)] for k in range(10)]
        answers = [
            {"answer_id": k + 1, "answer": a, "raw_answer": f"{a}ing", "answer_confidence": "yes"}
            for k, a in enumerate(said)
        ]
        kinds = {"question_type": f"kind {i % 3}", "answer_type": "other", "confidence": 3}
        entries.append({"question_id": i, "image_id": i // 2, "answers": answers, **kinds})
        predicted = said[i % 10] + ("ing" if i % 5 == 0 else "")
        predictions.append({"question_id": i, "answer": predicted})
    annotations = tmp_path / "mscoco_val2014_annotations.json"
    annotations.write_text(json.dumps({"annotations": entries}))
    results = tmp_path / "preds.json"
    results.write_text(json.dumps(predictions))
    found = CliRunner().invoke(
        score, [str(results), "--annotations", str(annotations), "--json", "-"]
    )
    assert found.exit_code == 0, found.output
    overall, _, by_question_type, _ = vqa_eval.evaluate(annotations, results)
    assert 0 < overall < 100
    scored = json.loads(found.stdout)
    assert scored["overall"] == overall
    assert scored["per_question_type"] == by_question_type
