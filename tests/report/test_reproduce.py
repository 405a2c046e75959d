import json
import shutil
import signal
import subprocess
import threading
from dataclasses import replace

import pytest
from click.testing import CliRunner
from frostgrid.cli import main
from frostgrid.console import StopRequest
from frostgrid.errors import InputError
from frostgrid.explain.palette import PALETTE
from frostgrid.report import reproduction_runs
from frostgrid.report.charts import number_runs, panel_charts, split_panels
from frostgrid.report.child_process import Stopped, run_child, wait_for
from frostgrid.report.published_reports import AMP, MEASURES, REPORTS, STOPPING
from frostgrid.report.reproduce_cli import reproduce
from frostgrid.report.reproduction_runs import Reproduction, measure_options, plan_runs
from frostgrid.report.reproduction_tables import study_tables
from frostgrid.report.runs import read_records
from frostgrid.train.settings.recipes import RECIPES


@pytest.fixture
def children(monkeypatch):
    """Commands run in this process instead of one of their own; those that were run."""
    seen = []

    def run_here(arguments, stop, say):
        seen.append(arguments)
        main.main(arguments, standalone_mode=False)

    monkeypatch.setattr(reproduction_runs, "run_child", run_here)
    return seen


def run(*arguments, code=0):
    result = CliRunner().invoke(reproduce, [str(a) for a in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def arguments(tiny_set):
    root, files = tiny_set
    features = [part for file in files for part in ("--features", file)]
    return ["--data", root, *features, "--epochs", 1, "--device", "cpu"]


def reproduction_of(report, tmp_path, **changes):
    reproduction = Reproduction(
        report, tuple(report.heads), "easy-vqa", (), None, 0, "cpu", tmp_path, True
    )
    return replace(reproduction, **changes)


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_the_measures_of_a_report_are_those_of_its_recipe(report):
    o = RECIPES["report"][report.studied].optimisation
    options = measure_options(report, report.measures)
    told = dict(zip(options[::2], options[1::2], strict=True))
    assert told == {
        "--amp": "auto",
        "--batch-size": str(o.batch_size),
        "--accumulate": str(o.accumulate),
        "--patience": str(o.patience),
    }


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_every_measure_is_studied_by_two_runs_that_differ_in_it_alone(report, tmp_path):
    reproduction = reproduction_of(report, tmp_path)
    studied = reproduction.studied()
    assert len(set(studied.values())) == len(studied) == 5
    for measure in MEASURES:
        assert {report.measures | {measure}, report.measures - {measure}} <= set(studied)
    runs = plan_runs(reproduction)
    assert len({run.path for run in runs}) == len(runs) == 2 * len(report.heads) + 4
    assert not reproduction_of(report, tmp_path, heads=(next(iter(report.heads)),)).studied()


def test_a_report_is_reproduced_and_then_found_finished(arguments, children, tmp_path):
    out = tmp_path / "out"
    head = ("--heads", "show-attend-tell")
    said = run("caption-report", *arguments, *head, "--out", out)
    assert len(children) == 6
    for words in ("Beside the report", "0.2682", "What each measure changes", "40 % faster"):
        assert words in said
    page = (out / "report.html").read_text()
    assert "What each measure changes" in page
    assert "default/show-attend-tell" in page
    children.clear()
    again = run("caption-report", *arguments, *head, "--out", out)
    assert not children
    assert again.count("finished before") == 6


def test_what_was_stopped_goes_on(arguments, children, tmp_path):
    out = tmp_path / "out"
    heads = ("--heads", "question-only", "--heads", "mean-embed")
    run("vqa-report", *arguments[:2], *arguments[-4:], *heads[:2], "--out", out)
    run("vqa-report", *arguments, *heads, "--out", out)
    assert len(children) == 4
    assert ["--features" in child for child in children] == [False, False, True, True]
    children.clear()
    stopped, killed = out / "report" / "mean-embed", out / "default" / "question-only"
    (stopped / "summary.json").unlink()
    for name in ("summary.json", "last.safetensors"):
        (killed / name).unlink()
    run("vqa-report", *arguments, *heads, "--out", out)
    assert [child[:3] for child in children] == [
        ["train-head", "--resume", str(stopped)],
        ["train-head", "question-only", "--data"],
    ]
    assert len((killed / "metrics.jsonl").read_text().splitlines()) == 1
    said = run("vqa-report", *arguments, *heads, "--out", out, "--seed", 7, code=1)
    assert "--seed 0, now 7" in said


def test_missing_features_are_extracted_first(tiny_set, monkeypatch, tmp_path):
    seen = []
    monkeypatch.chdir(tmp_path)

    def stop_at_training(arguments, stop, say):
        seen.append(arguments)
        if arguments[0] == "train-head":
            raise Stopped

    monkeypatch.setattr(reproduction_runs, "run_child", stop_at_training)
    (tmp_path / "features").mkdir()
    shutil.copy(tiny_set[1][0], tmp_path / "features" / "tiny0-train-resnet50.h5")
    monkeypatch.setattr(
        reproduction_runs,
        "default_features",
        lambda data, backbone: {
            split: tmp_path / "features" / f"tiny0-{split}-{backbone}.h5"
            for split in ("train", "val")
        },
    )
    chosen = ("--data", tiny_set[0], "--backbone", "resnet50", "--heads", "mean-embed")
    said = run("vqa-report", *chosen, code=1)
    assert "the same command goes on" in said
    assert [arguments[0] for arguments in seen] == ["featurize", "train-head"]
    assert seen[0][3:7] == ["--split", "val", "--backbone", "resnet50"]


def test_an_unknown_head_is_refused():
    assert "mean-embed" in run("vqa-report", "--heads", "up-down", code=2)


def test_data_without_questions_are_refused_before_any_work(tiny_set, children, tmp_path):
    shutil.copytree(tiny_set[0], tmp_path / "set")
    (tmp_path / "set" / "val_annotations.json").unlink()
    said = run("vqa-report", "--data", tmp_path / "set", code=1)
    assert "val_annotations.json" in said
    assert not children


def test_a_child_that_fails_or_is_not_started():
    said = []
    with pytest.raises(InputError, match="its own message"):
        run_child(["no-such-command"], StopRequest(), said.append)
    assert said == ["$ frostgrid no-such-command"]
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    with pytest.raises(Stopped):
        run_child(["--version"], stop, said.append)


def test_a_wish_to_stop_reaches_the_child():
    stop = StopRequest()
    child = subprocess.Popen(["sleep", "60"])
    timer = threading.Timer(0.3, setattr, (stop, "signal_name", "SIGINT"))
    timer.start()
    assert wait_for(child, stop) == -signal.SIGTERM


def fake_record(runs, recipe, head, **line):
    record = read_records([runs["mean-embed"]])[0]
    config = replace(record.config, recipe=recipe, head=head)
    epochs = [{**epoch, **line} for epoch in record.epochs]
    return replace(record, config=config, epochs=epochs, name=f"{recipe}/{head}")


def test_many_runs_get_a_panel_a_recipe_and_a_colour_a_head(runs):
    heads = list(REPORTS["vqa-report"].heads)
    records = [
        fake_record(runs, recipe, head) for recipe in ("report", "default") for head in heads
    ]
    numbers = number_runs(records)
    assert len({*numbers}) == 10
    assert [k % len(PALETTE) for k in numbers[:5]] == [k % len(PALETTE) for k in numbers[5:]]
    panels = split_panels(records)
    assert [panel.name for panel in panels] == ["report recipe", "default recipe"]
    charts = [panel_charts(panel)["score"] for panel in panels]
    assert [curve.number for chart in charts for curve in chart.curves] == numbers
    assert split_panels(records[:7])[0].name == ""
    assert number_runs(records[:7]) == list(range(7))
    assert number_runs(records + records[:1]) == list(range(11))


def test_changes_are_those_of_runs_that_differ_in_one_measure(runs, tmp_path):
    report = REPORTS["caption-report"]
    paths = reproduction_of(report, tmp_path).studied()
    for measures, path in paths.items():
        shutil.copytree(runs["show-attend-tell"], path)
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            line |= {
                "train_seconds": 6.0 if AMP in measures else 10.0,
                "val_seconds": 0.0,
                "peak_memory_bytes": 7 * 2**30 if AMP in measures else 10 * 2**30,
            }
        if STOPPING in measures:
            lines = lines[:1]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (path / "metrics.jsonl").write_text(text)
    _, changes = study_tables(report, paths)
    rows = {row[0]: row[1:] for row in changes.rows}
    assert rows[AMP][:3] == ["-40 %", "-40 %", "-30 %"]
    assert rows["accumulation"][:3] == ["+0 %"] * 3
    assert rows[STOPPING][:3] == ["–", "-50 %", "–"]
    assert rows["all three"][:3] == ["-40 %", "-70 %", "-30 %"]
