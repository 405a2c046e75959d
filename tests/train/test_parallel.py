"""``train-head`` under ``torchrun``, for real: two processes on one tiny set."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from frostgrid.featurize.cli import featurize
from frostgrid.models.layers import dropout
from frostgrid.train.checkpoint import read_tensors
from frostgrid.train.cli import train_head
from reference.runs import lines

SCRIPT = Path(__file__).with_name("ranks_script.py")
# 18 images with two texts each; the numbers of images in the batches of an epoch.
HEADS = {
    "san": ("--batch-size", "34"),  # 17, and 1 for both processes; its batch norm sees all
    "rnn-decoder": ("--batch-size", "16"),  # 8, 8, 2; batch norm too
    "show-attend-tell": ("--batch-size", "10", "--accumulate", "3"),  # 5, 5, 5 and 3
}


def arguments(head, tiny_set, out, *more, control=False):
    root, files = tiny_set
    features = [word for file in files for word in ("--features", str(file))]
    where = ["--data", str(root), *features, "--out", str(out), "--device", "cpu", "--amp", "off"]
    without = [] if control else ["--no-control"]
    return [head, *where, "--min-word-count", "1", *without, *more]


def one_process(*words):
    result = CliRunner().invoke(train_head, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def two_processes(*words):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [sys.executable, *launch, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def output_of(process):
    try:
        return process.communicate(timeout=240)[0]
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its processes
        raise AssertionError(process.communicate()[0]) from None


def state(out):
    return read_tensors(out / "last.safetensors")[0]


def cells_before_layer4(root, folder):
    files = [folder / f"{split}-layer3.h5" for split in ("train", "val")]
    for split, file in zip(("train", "val"), files, strict=True):
        where = ["--data", str(root), "--split", split, "--out", str(file), "--device", "cpu"]
        how = ["--backbone", "resnet18", "--image-size", "64", "--weights", "random"]
        layer = ["--layer", "layer3", "--grid", "native", "--amp", "off"]
        featurize.main([*where, *how, *layer], standalone_mode=False)
    return root, files


def test_two_processes_train_as_one_does_and_resume_to_the_same_bits(
    tiny_set, tmp_path, monkeypatch
):
    epochs = ("--epochs", "3")
    native = cells_before_layer4(tiny_set[0], tmp_path)
    learning = ("--finetune", "layer4", "--batch-size", "34", *epochs)
    tuned = [arguments("mean-embed", native, tmp_path / f"tuned-{n}", *learning) for n in (1, 2)]
    pairs = [
        {"arguments": arguments(head, tiny_set, tmp_path / f"{head}-2", *more, *epochs)}
        for head, more in HEADS.items()
    ] + [{"arguments": tuned[1]}]
    small = ("--batch-size", "8", "--accumulate", "2", *epochs)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    resumed = [
        {"arguments": arguments("san", tiny_set, whole, *small), "dropout": True},
        {"arguments": arguments("san", tiny_set, stopped, *small), "dropout": True, "stop_at": 6},
        {
            "arguments": ["--resume", str(stopped), "--device", "cpu", "--no-control"],
            "dropout": True,
        },
    ]
    seen = tmp_path / "seen"  # and compared with a control, which rank 0 makes alone
    controlled = arguments("mean-embed", tiny_set, seen, *epochs, control=True)
    resumed.append({"arguments": controlled, "dropout": True})
    runs = [{"dropout": False, "stop_at": 0, **run} for run in pairs + resumed]
    process = two_processes(SCRIPT, json.dumps(runs))
    monkeypatch.setattr(dropout.Dropout, "forward", lambda self, x: x)
    for head, more in HEADS.items():
        one_process(*arguments(head, tiny_set, tmp_path / f"{head}-1", *more, *epochs))
    one_process(*tuned[0])
    output = output_of(process)
    assert process.returncode == 0, output
    assert output.count("2 processes, each on cpu") == len(runs)  # one of them speaks
    for head in HEADS:
        check_same(tmp_path / f"{head}-1", tmp_path / f"{head}-2")
    check_losses(tmp_path / "tuned-1", tmp_path / "tuned-2", 1e-3)
    statistics = [state(tmp_path / f"tuned-{n}")["head.head.cells.mean"] for n in (1, 2)]
    torch.testing.assert_close(*statistics, rtol=1e-3, atol=1e-3)
    assert output.count(f"Stopped; go on with: train-head --resume {stopped}") == 1
    assert output.count("over blind") == 1
    assert "gain_over_blind" in json.loads((seen / "summary.json").read_text())
    ours, theirs = state(stopped), state(whole)
    assert ours.keys() == theirs.keys()
    assert "random.cpu.1" in ours
    assert not torch.equal(ours["random.cpu"], ours["random.cpu.1"])
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def check_losses(one, two, tolerance):
    for mine, theirs in zip(lines(one), lines(two), strict=True):
        for name in ("train_loss", "val_loss"):
            assert theirs[name] == pytest.approx(mine[name], rel=tolerance), name


def check_same(one, two):
    check_losses(one, two, 1e-5)
    mine, theirs = state(one), state(two)
    for name in mine:
        # A bias before a batch norm has no gradient but noise, which Adam brings to full steps.
        moved_by_noise = "head.enter" in name and name.endswith("bias")
        if name.startswith("head.") and not moved_by_noise:
            atol = 2e-3 if "running_mean" in name and "norm." in name else 2e-5
            torch.testing.assert_close(theirs[name], mine[name], rtol=1e-4, atol=atol, msg=name)


def test_when_a_process_dies_the_rest_end_and_one_can_go_on(tiny_set, tmp_path):
    out = tmp_path / "run"
    more = ("--epochs", "2000", "--batch-size", "8", "--patience", "0")
    run = {"arguments": arguments("mean-embed", tiny_set, out, *more), "late": 0.5}
    process = two_processes(SCRIPT, json.dumps(run))
    while not (out / "last.safetensors").exists():
        assert process.poll() is None, output_of(process)
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), 9)
    output = output_of(process)
    assert process.returncode != 0
    assert "Another of the processes ended early" in output, output
    done = len(lines(out))
    words = ("--resume", str(out), "--device", "cpu", "--epochs", str(done + 1))
    assert "best" in one_process(*words)
    assert [line["epoch"] for line in lines(out)] == list(range(1, len(lines(out)) + 1))
    assert not list(out.glob(".*.tmp"))


def test_a_mistake_is_told_once(tiny_set, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    output = output_of(
        two_processes(
            "-m",
            "frostgrid",
            "train-head",
            *arguments("mean-embed", tiny_set, tmp_path / "run", "--epochs", "2"),
        )
    )
    assert output.count("holds a run already") == 1
    assert "Traceback" not in output.split("torch/distributed")[0]
