import builtins
import json
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner
from frostgrid.clip import encoder as encoder_module
from frostgrid.clip.cli import clipscore
from frostgrid.clip.scores import PROMPT, clip_score, ref_clip_score
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

COLORS = ("red", "green", "blue")
vectors = arrays(np.float32, (4, 3), elements=st.floats(-2, 2, width=32))


@dataclass
class ColorEncoder:
    """An image is its mean colour; a text, the colours that it names."""

    name: str = "colors"

    def images(self, pictures):
        return np.array([np.asarray(p.convert("RGB")).mean((0, 1)) for p in pictures], np.float32)

    def texts(self, texts):
        assert all(text.startswith(PROMPT) for text in texts)
        return np.array([[float(c in text) for c in COLORS] for text in texts], np.float32)


@given(vectors, vectors, vectors)
def test_the_scores_are_the_papers_equations(images, captions, references):
    found = clip_score(images, captions)
    ref = ref_clip_score(found, captions, [references[:2], references[1:], references, references])
    for k, texts in enumerate((references[:2], references[1:], references, references)):
        assert found[k] == pytest.approx(2.5 * max(cosine(images[k], captions[k]), 0), abs=1e-5)
        likeness = max(0, *(cosine(text, captions[k]) for text in texts))
        total = found[k] + likeness
        expected = 2 * found[k] * likeness / total if total > 0 else 0
        assert ref[k] == pytest.approx(expected, abs=1e-4)


def cosine(a, b):
    lengths = float(np.linalg.norm(a.astype(np.float64)) * np.linalg.norm(b.astype(np.float64)))
    return float(a.astype(np.float64) @ b.astype(np.float64)) / lengths if lengths else 0.0


def run(*arguments, code=0):
    result = CliRunner().invoke(clipscore, list(map(str, arguments)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_captions_of_a_set_are_scored_with_their_images(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_module, "ClipEncoder", lambda *arguments: ColorEncoder())
    captions = json.loads((tiny_set[0] / "val_captions.json").read_text())
    said = {}
    for entry in captions["annotations"]:
        said.setdefault(entry["image_id"], entry["caption"])
    right = [{"image_id": image, "caption": text} for image, text in said.items()]
    wrong = [{**entry, "caption": "a grey picture"} for entry in right]
    scores = {}
    for name, entries in (("right", right), ("wrong", wrong)):
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
        options = (
            "--data",
            tiny_set[0],
            "--weights",
            "any",
            "--per-item",
            tmp_path / "items.jsonl",
        )
        result = run(tmp_path / f"{name}.json", *options, "--json")
        scores[name] = json.loads(result.stdout)
        items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
        assert np.mean([item["clipscore"] for item in items]) == scores[name]["clipscore"]
        assert len(items) == scores[name]["n"] == 9
    assert scores["wrong"]["clipscore"] == scores["wrong"]["refclipscore"] == 0
    assert 2 < scores["right"]["clipscore"] <= 2.5
    assert "clip:colors|w:2.5|prompt:a-photo-depicts" in scores["right"]["signature"]
    table = run(tmp_path / "right.json", "--data", tiny_set[0], "--weights", "any").stdout
    assert "RefCLIPScore  9" in table


def test_what_is_missing_is_said_in_a_sentence(tiny_set, tmp_path, monkeypatch):
    captions = json.loads((tiny_set[0] / "val_captions.json").read_text())["annotations"]
    by_image = {entry["image_id"]: entry for entry in captions}
    (tmp_path / "preds.json").write_text(json.dumps(list(by_image.values())))
    real = builtins.__import__

    def without_open_clip(name, *rest):
        if name == "open_clip":
            raise ImportError("No module named 'open_clip'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_open_clip)
    said = run(tmp_path / "preds.json", "--data", tiny_set[0], "--weights", "x.pt", code=1).output
    assert "needs the library open_clip" in said
    assert "pip install open_clip_torch" in said


def test_answers_are_refused(tmp_path):
    (tmp_path / "preds.json").write_text(json.dumps([{"question_id": 1, "answer": "red"}]))
    said = run(tmp_path / "preds.json", "--data", "easy-vqa", "--weights", "x", code=1).output
    assert "CLIPScore is of captions" in said
