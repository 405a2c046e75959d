"""Features that memory cannot keep: the limit, and maps that are given back."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from frostgrid.featurize.file.reader import open_features
from frostgrid.train.features import split as split_module
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.memory import available_bytes, cgroup_limits


def test_rows_are_the_same_after_a_map_was_given_back(tiny_set, monkeypatch):
    monkeypatch.setattr(split_module, "MAPPED_BYTES", 1)
    split = SplitFeatures([open_features(tiny_set[1][0])], "grid")
    rows = np.arange(3)
    first, again = (split.gather(rows, torch.device("cpu")).values for _ in range(2))
    assert torch.equal(first, again)
    assert np.array_equal(first.numpy(), split.sources[0][:3])


@pytest.mark.parametrize(
    ("line", "file", "value", "expected"),
    [
        ("0::/a/b", "a/memory.max", "5000\n", [5000]),
        ("0::/a/b", "a/b/memory.max", "max\n", []),
        ("4:memory:/job", "memory/job/memory.limit_in_bytes", "7000", [7000]),
        ("4:memory:/elsewhere", "memory/memory.limit_in_bytes", "8000", [8000]),
        ("3:cpu:/job", "cpu/job/memory.limit_in_bytes", "7000", []),
    ],
)
def test_limits_of_control_groups(line, file, value, expected, tmp_path):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(value)
    membership = tmp_path / "membership"
    membership.write_text(line + "\n")
    assert cgroup_limits(membership, tmp_path) == expected


def test_no_control_groups_are_no_limit(tmp_path):
    assert cgroup_limits(tmp_path / "none") == []
    assert available_bytes() > 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux alone tells")
def test_the_peak_is_not_that_of_the_process_that_started_this_one():
    held = np.ones(2**28)  # 2 GB here, and nothing of it there
    script = (
        "import torch; from frostgrid.train.memory import peak_memory_bytes as peak;"
        "print(peak(torch.device('cpu')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert 0 < int(done.stdout) < held.nbytes
