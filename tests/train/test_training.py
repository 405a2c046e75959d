import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.evaluate.cli import score
from frostgrid.models.registry import HEADS
from frostgrid.train import prepare, trainer
from frostgrid.train.checkpoint import read_tensors, write_tensors
from frostgrid.train.cli import train_head
from frostgrid.train.data import batches
from frostgrid.train.features import split as split_module
from frostgrid.train.progress import Terminal
from frostgrid.train.settings.config import Optimisation
from frostgrid.train.steps.plain import PlainStep, learning_rate
from frostgrid.train.trainer import moving_average
from reference.runs import lines, run_head, same_state

SMALL = ("--epochs", "3", "--batch-size", "8", "--min-word-count", "1")


@pytest.mark.parametrize("loss", ["soft", "commonest"])
def test_both_losses_are_on_one_scale_however_few_answers_are_known(loss, tiny_set, tmp_path):
    """On the same questions, by a head that hardly learns."""
    for split in ("train", "val"):
        for kind in ("questions", "annotations"):
            shutil.copy(tiny_set[0] / f"train_{kind}.json", tmp_path / f"{split}_{kind}.json")
    options = ("--recipe", "report", "--loss", loss, "--answers", 3, "--lr", 1e-9, "--amp", "off")
    run_head("question-only", (tmp_path, []), tmp_path / "run", *options, "--epochs", 1)
    (line,) = lines(tmp_path / "run")
    assert line["val_coverage"] == pytest.approx(24 / 36)  # no "red", no "yes"
    assert line["val_loss"] == pytest.approx(line["train_loss"], abs=1e-4)


@pytest.mark.parametrize("head", ["question-only", "mean-embed", "lstm", "san"])
def test_a_run_leaves_all_its_files_and_score_agrees(head, tiny_set, tmp_path):
    out = tmp_path / "run"
    output = run_head(head, tiny_set, out, *SMALL)
    assert {p.name for p in out.iterdir()} >= {
        *("config.json", "vocabulary.json", "metrics.jsonl", "preds.json", "summary.json"),
        *("best.safetensors", "last.safetensors"),
    }
    assert any(p.name.startswith("events.out.tfevents") for p in out.iterdir())
    wanted = {
        *("epoch", "train_loss", "val_loss", "val_accuracy"),
        *("train_seconds", "val_seconds", "items_per_second"),
    }
    metrics = lines(out)
    assert [m["epoch"] for m in metrics] == [1, 2, 3]
    assert wanted <= set(metrics[0])
    scored = CliRunner().invoke(score, [str(out / "preds.json"), "--json", "-"])
    assert scored.exit_code == 0, scored.output
    overall = json.loads(scored.stdout)["overall"]
    assert overall == pytest.approx(max(m["val_accuracy"] for m in metrics), abs=0.006)
    assert f"{max(m['val_accuracy'] for m in metrics):.2f} %" in output


@pytest.mark.parametrize("head", ["rnn-decoder", "show-attend-tell", "up-down"])
def test_a_caption_run_scores_its_own_captions(head, tiny_set, tmp_path):
    out = tmp_path / "run"
    run_head(head, tiny_set, out, *SMALL)
    best = max(lines(out), key=lambda m: (m["val_selection"], -m["val_loss"]))["val_bleu4"]
    scored = CliRunner().invoke(score, [str(out / "preds.json"), "--json", "-"])
    assert json.loads(scored.stdout)["bleu"][3] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("head", ["san", "show-attend-tell"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_stopped_run_resumes_to_the_same_bits(head, name, tiny_set, tmp_path, monkeypatch):
    more = (*SMALL, "--accumulate", "2", "--texts-per-image", "1")
    run_head(head, tiny_set, tmp_path / "whole", *more)
    steps = 0
    backward = PlainStep.backward

    def interrupted(self, *arguments):
        nonlocal steps
        steps += 1
        if steps == 6:  # in the middle of an epoch, and of an accumulated update
            os.kill(os.getpid(), getattr(signal, name))
        return backward(self, *arguments)

    monkeypatch.setattr(PlainStep, "backward", interrupted)
    out = tmp_path / "stopped"
    output = run_head(head, tiny_set, out, *more, code=1)
    assert f"--resume {out}" in output
    monkeypatch.undo()
    assert CliRunner().invoke(train_head, ["--resume", str(out), "--device", "cpu"]).exit_code == 0
    same_state(tmp_path / "whole", out)
    keep = ("epoch", "train_loss", "val_loss")
    assert [[m[k] for k in keep] for m in lines(out)] == [
        [m[k] for k in keep] for m in lines(tmp_path / "whole")
    ]


def test_what_went_wrong_is_told_by_a_process_that_its_launcher_ends(
    tiny_set, tmp_path, monkeypatch
):
    def fail(self, watcher, stop):
        raise InputError("Another process is gone.")

    killed = []
    monkeypatch.setattr(trainer.Trainer, "fit", fail)
    monkeypatch.setattr(Terminal, "close", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, lambda number, frame: killed.append(number))
    try:
        output = run_head("question-only", tiny_set, tmp_path / "run", *SMALL, code=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "Another process is gone." in output
    assert not killed


def test_epoch_lines_say_of_how_many_and_how_long_the_rest_takes(tiny_set, tmp_path):
    output = run_head("question-only", tiny_set, tmp_path / "run", *SMALL)
    shown = [line for line in output.splitlines() if line.startswith("epoch")]
    assert [line.split("  train loss")[0] for line in shown] == [f"epoch   {k} of 3" for k in "123"]
    assert [bool(re.search(r", about \d+ .*left$", line)) for line in shown] == [True, True, False]
    assert "\r" not in output  # no progress bar where it is no terminal


def test_the_time_left_is_that_of_the_epochs_seen(tmp_path):
    watcher = Terminal(tmp_path, SimpleNamespace(), n_epochs=10)
    assert watcher.time_left(7, 60) == ", about 3 min 0 s left"  # resumed in epoch 7
    assert watcher.time_left(8, 30) == ", about 1 min 30 s left"
    assert watcher.time_left(10, 1) == ""
    watcher.close()


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tiny_set, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_head("mean-embed", tiny_set, tmp_path / name, *SMALL, "--seed", str(seed))
    same_state(tmp_path / "a", tmp_path / "b")
    a, c = (read_tensors(tmp_path / name / "best.safetensors")[0] for name in "ac")
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_training_stops_when_nothing_improves(tiny_set, tmp_path):
    more = ("--epochs", "30", "--patience", "2", "--lr", "1e-9")
    run_head("question-only", tiny_set, tmp_path / "run", *more)
    assert len(lines(tmp_path / "run")) == 3  # the first is the best; two more bring nothing


def test_a_moving_average_does_not_jump():
    average, seen = None, []
    for value in (0.1, 0.5, 0.1, 0.4, 0.4):
        average = moving_average(average, value, 0.5)
        seen.append(average)
    assert seen == pytest.approx([0.1, 0.3, 0.2, 0.3, 0.35])
    assert moving_average(0.1, 0.5, 0.0) == 0.5


def test_a_run_says_its_updates_and_that_its_best_epoch_is_the_last(tiny_set, tmp_path):
    output = run_head("question-only", tiny_set, tmp_path / "run", "--epochs", "1")
    assert "updates    at most 2: 1 epochs of 2, each of 32 questions" in output
    assert "the best epoch is the last: more --epochs may do better" in output


def test_a_diverging_run_says_so_and_keeps_the_last_good_epoch(tiny_set, tmp_path, monkeypatch):
    run_head("mean-embed", tiny_set, tmp_path / "run", *SMALL)
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    backward = PlainStep.backward
    monkeypatch.setattr(PlainStep, "backward", lambda self, *a: backward(self, *a) * float("nan"))
    arguments = ["--resume", str(tmp_path / "run"), "--epochs", "5", "--device", "cpu"]
    result = CliRunner().invoke(train_head, arguments)
    assert result.exit_code == 1
    assert "training loss is nan in epoch 4" in result.output
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--features", "nowhere.h5"), "nowhere.h5"),
        (("--epochs", "0"), "epochs is 0"),
        (("--lr", "-1"), "learning rate is -1.0"),
        (("--device", "gpu"), "Device 'gpu': there is no such device"),
        (("--answers", "-5"), "'--answers'"),
        (("--seed", "-1"), "'--seed'"),
    ],
)
def test_bad_settings_are_one_sentence(more, message, tiny_set, tmp_path):
    root, files = tiny_set
    features = [] if "--features" in more else [f"--features={file}" for file in files]
    arguments = ["san", "--data", str(root), *features, "--out", str(tmp_path / "run"), *more]
    device = [] if "--device" in more else ["--device", "cpu"]
    result = CliRunner().invoke(train_head, [*arguments, *device])
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output


def test_the_help_names_every_head():
    text = " ".join(CliRunner().invoke(train_head, ["--help"]).output.split())
    assert all(f" {head}" in text for head in HEADS)


def test_an_existing_run_is_never_overwritten(tiny_set, tmp_path):
    run_head("question-only", tiny_set, tmp_path / "run", *SMALL)
    output = run_head("question-only", tiny_set, tmp_path / "run", *SMALL, code=1)
    assert "--resume" in output


def test_what_a_run_cannot_follow_any_more_is_refused(tiny_set, tmp_path):
    run_head("question-only", tiny_set, tmp_path / "run", *SMALL)
    again = ["--resume", str(tmp_path / "run"), "--device", "cpu"]
    result = CliRunner().invoke(train_head, [*again, "--lr", "1e-4", "--batch-size", "4"])
    assert result.exit_code == 2
    assert "--lr and --batch-size cannot go with --resume" in result.output
    assert CliRunner().invoke(train_head, [*again, "--epochs", "4"]).exit_code == 0
    assert len(lines(tmp_path / "run")) == 4


def test_a_run_goes_on_with_data_and_features_that_were_moved(tiny_set, tmp_path):
    root, files = tiny_set
    before = Path(shutil.copytree(root, tmp_path / "before"))
    moved = [before / file.name for file in files]
    run_head("mean-embed", (before, moved), tmp_path / "run", *SMALL)
    shutil.rmtree(before)
    again = ["--resume", str(tmp_path / "run"), "--device", "cpu", "--epochs", "4"]
    result = CliRunner().invoke(train_head, again)
    assert result.exit_code == 1
    assert f"{before}: no such data folder; if it was moved" in result.output
    result = CliRunner().invoke(train_head, [*again, "--data", root])
    assert result.exit_code == 1
    assert str(moved[0]) in result.output
    named = [f"--features={file}" for file in files]
    assert CliRunner().invoke(train_head, [*again, *named, "--data", root]).exit_code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["features"] == [str(file) for file in files]
    assert config["data"] == str(root.resolve())


def test_a_default_that_is_missing_is_told_with_the_command_that_makes_it(
    tiny_set, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "my data"
    shutil.copytree(tiny_set[0], root)
    result = CliRunner().invoke(train_head, ["san", "--data", str(root), "--device", "cpu"])
    assert result.exit_code == 1
    assert f"featurize --backbone resnet101 --data '{root}'" in result.output


def test_answers_that_cannot_score_are_refused(tiny_set, tmp_path):
    root = tmp_path / "lone"
    shutil.copytree(tiny_set[0], root)
    path = root / "train_annotations.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["answers"] = entry["answers"][:1]
    path.write_text(json.dumps(content))
    output = run_head("question-only", (root, []), tmp_path / "run", *SMALL, code=1)
    assert f"{path}: no answer scores above 0 on any question" in output


def test_missing_images_are_named(tiny_set, tmp_path):
    root, files = tiny_set
    output = run_head("san", (root, files[1:]), tmp_path / "run", *SMALL, code=1)
    assert "made for the split 'val', not for 'train'" in output
    other = Path(shutil.copytree(root, tmp_path / "data"))
    for name in ("questions", "annotations"):
        path = other / f"train_{name}.json"
        content = json.loads(path.read_text())
        for entry in content[name][:4]:
            entry["image_id"] += 7000
        path.write_text(json.dumps(content))
    output = run_head("san", (other, files), tmp_path / "run", *SMALL, "--trust-ids", code=1)
    assert "2 of the images asked for (7100, 7101)" in output


def test_a_checkpoint_is_whole_or_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.arange(5)}, {"epoch": 3})
    tensors, about = read_tensors(path)
    assert torch.equal(tensors["a"], torch.arange(5))
    assert about == {"epoch": 3}
    assert not list(tmp_path.glob(".*"))
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it too
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_tensors(path)


def test_a_checkpoint_that_the_disk_does_not_take_is_told(tmp_path, monkeypatch):
    def no_room(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.arange(5)}, {"epoch": 3})
    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(InputError, match=r"x.safetensors: cannot be written .*No space left"):
        write_tensors(path, {"a": torch.arange(6)}, {"epoch": 4})
    assert read_tensors(path)[1] == {"epoch": 3}


def test_the_learning_rate_rises_then_falls_to_nothing():
    o = Optimisation(lr=1.0, warmup=0.1)
    rates = [learning_rate(i, 100, o) for i in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == 1.0
    assert rates[-1] < 1e-3
    flat = Optimisation(lr=1.0, warmup=0.0, schedule="constant")
    assert {learning_rate(i, 100, flat) for i in range(100)} == {1.0}


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(prepare, "available_bytes", lambda: 1000)


def test_little_memory_is_noticed_said_and_kept_in_the_config(tiny_set, tmp_path, little_memory):
    out = tmp_path / "run"
    asked = []
    keep = pytest.MonkeyPatch()
    keep.setattr(split_module, "prefetch_rows", lambda source, rows: asked.append(rows))
    keep.setattr(batches, "PREFETCHED", 1)
    output = run_head("lstm", tiny_set, out, *SMALL)
    keep.undo()
    assert "read ahead from disk" in output
    assert json.loads((out / "config.json").read_text())["order"] == "local"
    assert asked


def test_enough_memory_shuffles_all_and_asks_for_nothing(tiny_set, tmp_path, monkeypatch):
    def fail(source, rows):
        raise AssertionError

    monkeypatch.setattr(split_module, "prefetch_rows", fail)
    output = run_head("lstm", tiny_set, tmp_path / "run", *SMALL)
    assert "from the page cache" in output
    assert json.loads((tmp_path / "run" / "config.json").read_text())["order"] == "full"


def test_how_rows_are_read_changes_nothing_of_what_is_learned(tiny_set, tmp_path, monkeypatch):
    run_head("lstm", tiny_set, tmp_path / "one", *SMALL, "--order", "full")
    monkeypatch.setattr(split_module, "MAPPED_BYTES", 1)  # given back after every batch
    monkeypatch.setattr(prepare, "available_bytes", lambda: 1000)
    run_head("lstm", tiny_set, tmp_path / "two", *SMALL, "--order", "full")
    same_state(tmp_path / "one", tmp_path / "two")
    assert lines(tmp_path / "one")[-1]["val_loss"] == lines(tmp_path / "two")[-1]["val_loss"]


def test_captions_may_be_as_long_as_asked_for_and_what_is_cut_is_told(tiny_set, tmp_path):
    output = run_head("rnn-decoder", tiny_set, tmp_path / "default", *SMALL)
    assert "cut after" not in output
    assert "of at most 20 words\n" in output
    more = (*SMALL, "--max-length", "4")
    output = run_head("rnn-decoder", tiny_set, tmp_path / "short", *more)
    assert "; 18 train, 9 val cut after 4 words (--max-length)" in output
    assert "of at most 4 words" in output
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    assert config["data_settings"] == {"min_word_count": 1, "max_length": 4}
    written = json.loads((tmp_path / "short" / "preds.json").read_text())
    assert max(len(entry["caption"].split()) for entry in written) <= 4
    output = run_head("question-only", tiny_set, tmp_path / "vqa", *more, code=2)
    assert "question-only writes no captions; drop --max-length" in output


def test_references_longer_than_captions_are_made_are_counted(tiny_set, tmp_path):
    root = Path(shutil.copytree(tiny_set[0], tmp_path / "data"))
    content = json.loads((root / "val_captions.json").read_text())
    content["annotations"][0]["caption"] = " ".join(["red"] * 30)
    (root / "val_captions.json").write_text(json.dumps(content))
    output = run_head("rnn-decoder", (root, tiny_set[1]), tmp_path / "run", *SMALL, "--trust-ids")
    assert "of at most 20 words (1 of 18 references have more: --max-length)" in output


def test_options_of_resuming_need_a_run_to_resume(tiny_set, tmp_path):
    more = (*SMALL, "--accept-changed-data")
    output = run_head("question-only", tiny_set, tmp_path / "run", *more, code=2)
    assert "--accept-changed-data is of use with --resume alone" in output


def test_too_little_gpu_memory_is_one_sentence(tiny_set, tmp_path, monkeypatch):
    def fail(self, batch, in_group, last):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(PlainStep, "backward", fail)
    output = run_head("mean-embed", tiny_set, tmp_path / "run", *SMALL, code=1)
    assert "too little memory for batches of 8" in output
    assert "smaller --batch-size" in output


@pytest.fixture
def tf32():
    """TF32 as a GPU's user may have set it."""
    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = True
    yield places
    for place, value in zip(places, before, strict=True):
        place.allow_tf32 = value


def test_without_amp_float32_is_float32(tiny_set, tmp_path, tf32):
    run_head("question-only", tiny_set, tmp_path / "auto", *SMALL)
    assert all(place.allow_tf32 for place in tf32)
    run_head("question-only", tiny_set, tmp_path / "off", *SMALL, "--amp", "off")
    assert not any(place.allow_tf32 for place in tf32)
