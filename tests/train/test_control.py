"""What a head is worth beside one that sees nothing."""

import json

import numpy as np
import pytest
from frostgrid.datasets import cache
from frostgrid.train import control
from frostgrid.train.config import Optimisation
from frostgrid.train.control import constant_caption, spaced
from frostgrid.train.recipes import Recipe
from reference.runs import run_head

SMALL = ("--epochs", "2", "--batch-size", "8")


@pytest.fixture
def short_recipe(tmp_path, monkeypatch):
    """A blind head that is soon trained, and a cache folder of this test alone."""
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    short = Recipe({}, Optimisation(epochs=2), ())
    monkeypatch.setitem(control.RECIPES["default"], control.BLIND, short)
    return cache.cache_folder()


def test_the_blind_head_is_trained_once_and_its_score_stands_beside(
    tiny_set, tmp_path, short_recipe
):
    first = run_head("mean-embed", tiny_set, tmp_path / "a", *SMALL, control=True)
    again = run_head("san", tiny_set, tmp_path / "b", *SMALL, "--seed", "1", control=True)
    assert "once for this data set" in first
    assert "once for this data set" not in again
    assert len(list(short_recipe.glob("control-*"))) == 1
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    difference = summary["best_score"] - summary["control_score"]
    assert summary["gain_over_blind"] == pytest.approx(difference, abs=0.01)
    low, high = summary["gain_interval"]
    assert low <= summary["gain_over_blind"] <= high
    assert f"{summary['control_score']:.2f} %, question-only under the same recipe" in again
    assert f"{summary['gain_over_blind']:+.2f} % over blind" in again


def test_captions_stand_beside_the_one_that_fits_all_best(tiny_set, tmp_path, short_recipe):
    more = (*SMALL, "--min-word-count", "1")
    output = run_head("rnn-decoder", tiny_set, tmp_path / "run", *more, control=True)
    assert "CIDEr-D of the one caption that fits all images best" in output
    (folder,) = short_recipe.glob("control-*")
    captions = {entry["caption"] for entry in json.loads((folder / "preds.json").read_text())}
    assert len(captions) == 1
    assert "gain_over_blind" in json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.parametrize(("head", "more"), [("question-only", ()), ("san", ("--no-control",))])
def test_no_control_where_there_is_nothing_to_tell(head, more, tiny_set, tmp_path, short_recipe):
    output = run_head(head, tiny_set, tmp_path / "run", *SMALL, *more, control=not more)
    assert "over blind" not in output
    assert not list(short_recipe.glob("control-*"))
    assert "gain_over_blind" not in json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_constant_caption_is_what_most_images_show():
    references = [["a dog runs", "the dog runs"]] * 5 + [["a red boat", "one boat"]]
    assert constant_caption(np.arange(6), references) == "a dog runs"


def test_samples_are_spaced_evenly():
    assert spaced(3, 10).tolist() == [0, 1, 2]
    assert spaced(101, 3).tolist() == [0, 50, 100]
