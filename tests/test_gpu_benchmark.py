"""``python -m benchmarks.gpu`` keeps what it has measured, whatever becomes of its parts."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))  # benchmarks are beside the package, not in it

from benchmarks.gpu.__main__ import groups_of, wait_for  # noqa: E402
from benchmarks.gpu.record import Bench, read_rows, write_table  # noqa: E402


@pytest.fixture
def bench(tmp_path):
    return Bench("epochs", tmp_path, tmp_path, torch.device("cpu"), 0.001, time.time())


def python(code):
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_part_that_hangs_is_cut_and_told(bench):
    process = python("import time; time.sleep(60)")
    wait_for(bench, process, 1)
    assert process.wait(10) != 0
    assert read_rows(bench.folder)[0]["measured"] == "was cut after 1 s"


def test_a_part_that_dies_is_told(bench):
    wait_for(bench, python("raise SystemExit(3)"), 30)
    assert read_rows(bench.folder)[0]["measured"] == "ended with code 3"


def test_a_measurement_that_fails_leaves_the_others(bench):
    with bench.attempt("san"):
        raise RuntimeError("no kernel image is available")
    bench.say("lstm", "4.00 ms | 93 %")
    assert "failed: RuntimeError: no kernel image" in read_rows(bench.folder)[0]["measured"]
    table = write_table(bench.folder, "a machine")
    assert table == (bench.folder / "RESULTS.md").read_text()
    assert "| epochs | lstm | 4.00 ms / 93 % |" in table


def test_parts_bring_their_data():
    assert groups_of(("peers",)) == [["data"], ["peers"]]
    assert groups_of(("parity",)) == [["parity"]]
    assert ["extraction"] in groups_of(())


def test_runs_on_a_cpu(tmp_path):
    words = ["--device", "cpu", "--part", "data", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["what"] for row in rows] == ["feature files"]
    assert (tmp_path / "RESULTS.md").read_text().strip() in done.stdout
