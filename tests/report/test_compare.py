import json
import re
import shutil
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.explain.palette import PALETTE
from frostgrid.predict.provenance import name_network
from frostgrid.predict.trained import distinct_names
from frostgrid.report.charts import panel_charts, split_panels
from frostgrid.report.cli import compare
from frostgrid.report.disagreement import choose_items, count_better
from frostgrid.report.plots import Chart, Curve, to_png, to_svg
from frostgrid.report.ranking import rank_runs
from frostgrid.report.runs import read_records, settings_that_differ
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def run(*arguments, code=0):
    result = CliRunner().invoke(compare, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_vqa_runs_are_compared_on_one_page(runs, tmp_path):
    page = tmp_path / "page.html"
    chosen = [runs[name] for name in ("san", "mean-embed", "question-only")]
    said = run(*chosen, "--out", page, "--png")
    html = page.read_text()
    for name in ("san", "mean-embed", "question-only"):
        assert name in said
        assert name in html
    assert html.count("<svg role=") == 2
    assert "fill-opacity: 0.13" in html  # the bands
    assert "prefers-color-scheme: dark" in html
    assert 'loading="lazy"' not in html  # printed, a picture beyond the window would be missing
    # Nothing is fetched: every address is inside the page, or names an XML vocabulary.
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|url\((?!#)[^)]*\)|@import', html)
    for name in ("page-loss.png", "page-score.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*"))


def test_caption_runs_are_compared_word_by_word(runs, tmp_path):
    page = tmp_path / "page.html"
    run(runs["show-attend-tell"], runs["rnn-decoder"], "--out", page)
    html = page.read_text()
    assert "BLEU-4" in html
    assert "People wrote" in html
    captions = [
        entry["caption"] for entry in json.loads((runs["rnn-decoder"] / "preds.json").read_text())
    ]
    assert any(caption and caption in html for caption in captions)


def test_a_page_without_its_data_says_what_is_missing(runs, tmp_path):
    copy = shutil.copytree(runs["mean-embed"], tmp_path / "run")
    config = json.loads((copy / "config.json").read_text())
    config["data"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config))
    page = tmp_path / "page.html"
    said = run(copy, "--out", page)
    assert "No official scores" in said
    assert "gone" in page.read_text()


def test_one_run_alone_has_a_page_without_what_differs(runs, tmp_path):
    out = tmp_path / "page.html"
    run(runs["san"], "--out", out)
    html = out.read_text("utf-8")
    assert "Settings that differ" not in html
    assert "of the 18 questions, one an image, right and wrong answers in turn" in html
    assert html.count('<article class="card">') == 9
    assert "full attention" in html


def test_scores_stand_in_parts_beside_each_other(runs, tmp_path):
    page = tmp_path / "page.html"
    chosen = (runs["san"], runs["question-only"])
    said = run(*chosen, "--out", page)
    html = page.read_text("utf-8")
    for text in (said, html):
        assert "Accuracy by kind of answer, %" in text
    assert "Accuracy by kind of question, %" in html
    assert re.search(r"^other +18 +[\d.]+ \([\d.]+ to [\d.]+\) ", said, re.MULTILINE)
    assert run(*chosen, "--out", page, "--format", "csv").count("\nrun,") == 0
    said = run(runs["rnn-decoder"], "--out", page, "--format", "markdown")
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"):
        assert f"| {name} | 9 | " in said
        assert f">{name}</th>" in page.read_text("utf-8")


def test_random_weights_are_said_loudly_everywhere(runs, tmp_path):
    page = tmp_path / "page.html"
    said = run(runs["mean-embed"], runs["question-only"], "--out", page)
    for text in (said, page.read_text("utf-8")):
        assert "resnet18 layer4 at 64 px, RANDOM weights" in text
        assert "mean-embed: the features are of a network with RANDOM weights" in text
    records = read_records([runs["mean-embed"], runs["question-only"]])
    for chart in panel_charts(split_panels(records)[0]).values():
        assert "resnet18 layer4 at 64 px, RANDOM weights" in chart.caption
    copy = Path(shutil.copytree(runs["mean-embed"], tmp_path / "trained"))
    config = json.loads((copy / "config.json").read_text())
    config["feature_identity"]["weights"] = "photos.pth"
    (copy / "config.json").write_text(json.dumps(config))
    (record,) = read_records([copy])
    assert name_network(record.config) == "resnet18 layer4 at 64 px, weights photos.pth"
    said = run(copy, runs["mean-embed"], "--out", page, "--format", "csv")
    assert "run,head,features of," in said
    assert "photos.pth" in said


def test_the_band_at_the_best_epoch_is_the_interval_of_the_score(runs):
    records = read_records([runs["mean-embed"], runs["rnn-decoder"]][:1])
    ranking = rank_runs(records, print)
    (curve,) = panel_charts(split_panels(records)[0])["score"].curves
    band = curve.band[curve.epochs.index(curve.best_epoch)]
    assert band == pytest.approx(tuple(ranking.runs[0].interval), abs=1e-4)
    assert to_png(Chart("Score", "%", [curve])).startswith(b"\x89PNG")


def test_self_critical_training_has_its_reward_drawn_and_no_training_loss(runs, tmp_path):
    learned = Path(shutil.copytree(runs["rnn-decoder"], tmp_path / "scst"))
    config = json.loads((learned / "config.json").read_text())
    config["scst"] = {"init": "runs/rnn-decoder", "init_sha256": "0" * 64, "samples": 5}
    (learned / "config.json").write_text(json.dumps(config))
    lines = [json.loads(line) for line in (learned / "metrics.jsonl").read_text().splitlines()]
    text = "".join(
        json.dumps(line | {"train_reward": 0.3 + line["epoch"]}) + "\n" for line in lines
    )
    (learned / "metrics.jsonl").write_text(text)
    records = read_records([runs["rnn-decoder"], learned])
    charts = panel_charts(split_panels(records)[0])
    (curve,) = charts["reward"].curves
    assert curve.values == [0.3 + epoch for epoch in curve.epochs]
    assert curve.number == 1  # the run's colour on all charts
    assert [c.name for c in charts["loss"].curves if c.dashed] == [records[0].name]
    assert "reward" not in panel_charts(split_panels(records[:1])[0])


def test_losses_of_an_earlier_version_are_said_to_be_on_another_scale(runs, tmp_path):
    copy = Path(shutil.copytree(runs["mean-embed"], tmp_path / "run"))
    epochs = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    for line in epochs:
        for name in ("val_coverage", "val_selection", "val_accuracy_low", "val_accuracy_high"):
            del line[name]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in epochs))
    page = tmp_path / "page.html"
    assert "run: of an earlier version, whose validation loss is lower" in run(copy, "--out", page)
    assert "an earlier version" not in run(runs["mean-embed"], "--out", page)


def test_text_from_data_is_escaped(runs, tmp_path):
    copy = shutil.copytree(runs["rnn-decoder"], tmp_path / "<b>run")
    entries = json.loads((copy / "preds.json").read_text())
    for entry in entries:
        entry["caption"] = "<script>alert(1)</script>"
    (copy / "preds.json").write_text(json.dumps(entries))
    page = tmp_path / "page.html"
    run(copy, runs["rnn-decoder"], "--out", page)
    html = page.read_text()
    assert "<script" not in html
    assert "<b>run" not in html
    assert "&lt;script&gt;" in html


def test_the_gap_to_the_best_run_is_the_difference_of_the_scores(runs):
    records = read_records([runs["san"], runs["question-only"]])
    ranking = rank_runs(records, partial(click.echo, err=True))
    best, other = ranking.best_first()
    assert best.gap is None
    assert other.gap is not None
    assert other.gap[0] == pytest.approx(other.score - best.score, abs=0.02)
    assert best.interval.low <= best.score <= best.interval.high


def repeat_epochs(run):
    """What two trainings leave that write to one folder."""
    lines = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(lines + lines)


def edit_epoch(run, **changes):
    """Change a run's first line of metrics."""
    first, *others = (run / "metrics.jsonl").read_text().splitlines()
    lines = [json.dumps(json.loads(first) | changes), *others]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def test_a_line_that_was_not_written_whole_is_left_out_and_said(runs, tmp_path):
    copy = shutil.copytree(runs["mean-embed"], tmp_path / "run")
    with open(copy / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 3, "train_l')
    page = tmp_path / "page.html"
    words = "run: line 3 of metrics.jsonl was not written whole and is left out."
    assert words in run(copy, "--out", page)
    assert words in page.read_text("utf-8")


def test_runs_on_equal_data_in_two_folders_are_compared(runs, tiny_set, tmp_path):
    copy = shutil.copytree(runs["question-only"], tmp_path / "elsewhere")
    shutil.copytree(tiny_set[0], tmp_path / "set")
    config = json.loads((copy / "config.json").read_text())
    config["data"] = str(tmp_path / "set")
    (copy / "config.json").write_text(json.dumps(config))
    ranking = rank_runs(read_records([copy, runs["san"]]), print)
    assert ranking.is_comparable
    assert "different data" not in " ".join(ranking.notes)
    assert ranking.best_first()[1].gap is not None


@pytest.mark.parametrize("is_missing", [False, True])
def test_scores_of_different_data_are_not_set_against_each_other(
    is_missing, runs, tiny_set, tmp_path
):
    copy = shutil.copytree(runs["mean-embed"], tmp_path / "elsewhere")
    config = json.loads((copy / "config.json").read_text())
    config["data"] = str(tmp_path / "set")
    config["digests"]["val_answers"] = "0" * 64
    (copy / "config.json").write_text(json.dumps(config))
    if not is_missing:
        shutil.copytree(tiny_set[0], tmp_path / "set")  # equal numbers of questions and images
    chosen = [runs["question-only"], copy, runs["san"]]
    records = read_records(chosen)
    ranking = rank_runs(records, print)
    assert [run.gap for run in ranking.runs] == [None] * 3
    assert ranking.best_first() == ranking.runs
    page = tmp_path / "page.html"
    said = run(*chosen, "--out", page) + page.read_text("utf-8")
    assert "validate on different data" in said
    assert "their scores cannot be compared" in said
    for words in ("ahead of", "as does"):
        assert words not in said


def test_the_gain_over_blind_has_a_column_with_its_interval(runs, tmp_path):
    copy = Path(shutil.copytree(runs["mean-embed"], tmp_path / "run"))
    gain = {"gain_over_blind": 1.234, "gain_interval": [-0.5, 3.0]}
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps(summary | gain))
    page = tmp_path / "page.html"
    said = run(copy, runs["question-only"], "--out", page)
    for text in (said, page.read_text()):
        assert "gain over blind" in text
        assert "+1.23 (-0.50 to +3.00)" in text
    (copy / "summary.json").write_text(json.dumps(summary | gain | {"gain_interval": None}))
    assert "+1.23" in run(copy, "--out", page)


def test_the_best_epoch_is_the_one_that_was_selected(runs, tmp_path):
    copy = Path(shutil.copytree(runs["rnn-decoder"], tmp_path / "run"))
    (first, *_) = (json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines())
    epochs = [
        {**first, "epoch": 1, "val_bleu4": 0.9, "val_selection": 0.0, "val_loss": 3.0},
        {**first, "epoch": 2, "val_bleu4": 0.1, "val_selection": 0.2, "val_loss": 2.0},
        {**first, "epoch": 3, "val_bleu4": 0.1, "val_selection": 0.2, "val_loss": 1.0},
    ]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in epochs))
    (record,) = read_records([copy])
    assert record.best["epoch"] == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "config.json").unlink(), "no such file"),
        (lambda run: (run / "metrics.jsonl").unlink(), "no epoch is finished"),
        (lambda run: (run / "metrics.jsonl").write_text("{"), "no epoch is finished"),
        (
            lambda run: (run / "metrics.jsonl").write_text('{"epoch": 1}\n'),
            "epoch 1: no train_loss",
        ),
        (lambda run: repeat_epochs(run), "epoch 1 comes after epoch 2: two trainings may"),
        (lambda run: edit_epoch(run, epoch=0), "epoch 0 comes after epoch 0"),
        (lambda run: edit_epoch(run, val_loss=None), "epoch 1: val_loss is None, no number"),
        (lambda run: edit_epoch(run, val_loss=True), "epoch 1: val_loss is True, no number"),
        (lambda run: edit_epoch(run, peak_memory_bytes="x"), "peak_memory_bytes is no number"),
    ],
)
def test_what_is_no_run_is_refused(spoil, message, runs, tmp_path):
    copy = shutil.copytree(runs["mean-embed"], tmp_path / "run")
    spoil(copy)
    assert message in run(copy, "--out", tmp_path / "page.html", code=1)
    assert not (tmp_path / "page.html").exists()


def test_runs_must_be_distinct_and_of_one_task(runs, tmp_path):
    with pytest.raises(InputError, match="given 2 times"):
        read_records([runs["san"], runs["san"]])
    with pytest.raises(InputError, match="different tasks"):
        read_records([runs["san"], runs["rnn-decoder"]])


def test_names_take_as_many_folders_as_they_need(tmp_path):
    assert distinct_names([tmp_path / "a" / "san", tmp_path / "b" / "san"]) == ["a/san", "b/san"]
    assert distinct_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]


def test_only_settings_that_differ_are_shown(runs):
    rows = settings_that_differ(read_records([runs["san"], runs["question-only"]]))
    assert rows["head"] == ["san", "question-only"]
    assert "epochs" not in rows
    assert "features: backbone" not in rows  # question-only has none: nothing differs


scores = arrays(np.float64, (3, 12), elements=st.sampled_from([0.0, 0.3, 0.6, 1.0]))


@given(scores, st.lists(st.integers(0, 5), min_size=12, max_size=12), st.integers(0, 12))
def test_chosen_items_differ_and_are_of_distinct_images(values, images, n):
    differ = np.ptp(values, axis=0) > 0
    chosen = choose_items(values, values >= 0.5, differ, images, n)
    assert len(chosen) == min(n, len({images[i] for i in np.flatnonzero(differ)}))
    assert len({images[i] for i in chosen}) == len(chosen)
    assert all(differ[i] for i in chosen)
    assert chosen == choose_items(values, values >= 0.5, differ, images, n)


@given(scores)
def test_better_counts_items(values):
    better = count_better(values)
    for a in range(3):
        for b in range(3):
            assert better[a, b] == sum(values[a, i] > values[b, i] for i in range(12))


def test_a_themed_chart_has_no_colour_of_its_own():
    curves = [Curve("a $x$", 0, [1, 2], [3.0, 2.0], True), Curve("b", 8, [1, 2], [1.0, 2.0])]
    svg = to_svg(Chart("Loss", "nats", curves))
    assert not re.findall(r"#[0-9a-fA-F]{6}", svg)
    for name in ("--ink", "--quiet", "--line", "--run-0", "--run-1"):
        assert f"var({name})" in svg
    assert "font-family" not in svg
    assert 'id="axes' not in svg
    assert svg.rstrip().endswith("</svg>")


@pytest.mark.parametrize("values", [[0.0], [float("nan"), 1.0], [1.0, 1.0, 1.0]])
def test_odd_curves_are_drawn(values):
    epochs = list(range(1, len(values) + 1))
    chart = Chart("Score", "%", [Curve("a", len(PALETTE), epochs, values, best_epoch=1)])
    assert to_png(chart).startswith(b"\x89PNG")
    assert "<svg" in to_svg(chart)
