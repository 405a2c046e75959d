"""What a head is worth beside one that sees nothing."""

import json

import numpy as np
import pytest
from frostgrid.train.control import constant_caption, spaced
from reference.runs import run_head

SMALL = ("--epochs", "2", "--batch-size", "8")


def test_the_blind_head_is_trained_once_and_its_score_stands_beside(
    tiny_set, tmp_path, empty_cache
):
    first = run_head("mean-embed", tiny_set, tmp_path / "a", *SMALL, control=True)
    again = run_head("san", tiny_set, tmp_path / "b", *SMALL, "--seed", "1", control=True)
    assert "once for this data set" in first
    assert "once for this data set" not in again
    assert len(list(empty_cache.glob("control-*"))) == 1
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    difference = summary["best_score"] - summary["control_score"]
    assert summary["gain_over_blind"] == pytest.approx(difference, abs=0.01)
    low, high = summary["gain_interval"]
    assert low <= summary["gain_over_blind"] <= high
    assert f"{summary['control_score']:.2f} %, question-only under the same recipe" in again
    assert f"{summary['gain_over_blind']:+.2f} points over blind" in again


def test_captions_stand_beside_the_one_that_fits_all_best(tiny_set, tmp_path, empty_cache):
    more = (*SMALL, "--min-word-count", "1")
    output = run_head("rnn-decoder", tiny_set, tmp_path / "run", *more, control=True)
    assert "CIDEr-D of the one caption that fits all images best" in output
    (folder,) = empty_cache.glob("control-*")
    captions = {entry["caption"] for entry in json.loads((folder / "preds.json").read_text())}
    assert len(captions) == 1
    assert "gain_over_blind" in json.loads((tmp_path / "run" / "summary.json").read_text())


@pytest.mark.parametrize(("head", "control"), [("question-only", True), ("san", False)])
def test_no_control_where_there_is_nothing_to_tell(head, control, tiny_set, tmp_path, empty_cache):
    output = run_head(head, tiny_set, tmp_path / "run", *SMALL, control=control)
    assert "over blind" not in output
    assert not list(empty_cache.glob("control-*"))
    assert "gain_over_blind" not in json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_constant_caption_is_what_most_images_show():
    references = [["a dog runs", "the dog runs"]] * 5 + [["a red boat", "one boat"]]
    assert constant_caption(np.arange(6), references) == "a dog runs"


def test_samples_are_spaced_evenly():
    assert spaced(3, 10).tolist() == [0, 1, 2]
    assert spaced(101, 3).tolist() == [0, 50, 100]


def test_a_control_that_was_left_unfinished_is_trained_anew(tiny_set, tmp_path, empty_cache):
    run_head("mean-embed", tiny_set, tmp_path / "run", *SMALL, control=True)
    (folder,) = empty_cache.glob("control-*")
    before = (folder / "preds.json").read_bytes()
    (folder / "summary.json").unlink()
    again = run_head("mean-embed", tiny_set, tmp_path / "again", *SMALL, control=True)
    assert "once for this data set" in again
    assert (folder / "preds.json").read_bytes() == before


def test_a_run_ends_well_where_no_control_can_be_kept(tiny_set, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "file"))
    output = run_head("mean-embed", tiny_set, tmp_path / "run", *SMALL, control=True)
    assert "control    left out: " in output
    assert "wrote " in output
