"""What happens to a run folder: damage, full disks, other processes, other data."""

import errno
import json
import os
import random
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.models.config import VqaHeadConfig
from frostgrid.predict.trained import load_run
from frostgrid.train.checkpoint import checksum, read_tensors, write_tensors
from frostgrid.train.cli import train_head
from frostgrid.train.run_folder import RunFolder, read_metrics
from frostgrid.train.settings.config import RunConfig
from reference.runs import final_state, lines, run_head, same_state
from safetensors import safe_open
from safetensors.torch import save_file

SMALL = ("--epochs", "2", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def finished(tiny_set, tmp_path_factory):
    """A run of two epochs."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run_head("mean-embed", tiny_set, out, *SMALL)
    return out


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def resume(out, *more):
    result = CliRunner().invoke(train_head, ["--resume", str(out), "--device", "cpu", *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# Other data


def move_answers(root):
    def change(content):
        answers = [entry["answers"] for entry in content["annotations"]]
        for entry, other in zip(content["annotations"], answers[2:] + answers[:2], strict=True):
            entry["answers"] = other

    edit(root / "train_annotations.json", change)


def cut_validation(root):
    for name in ("questions", "annotations"):
        edit(root / f"val_{name}.json", lambda content, name=name: content[name].__delitem__(0))


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (move_answers, "the training answers are not those"),
        (cut_validation, "the validation questions and the validation answers are not those"),
    ],
)
def test_other_samples_are_refused_unless_accepted(change, changed, tiny_set, run, tmp_path):
    root = Path(shutil.copytree(tiny_set[0], tmp_path / "data"))
    change(root)
    before = (run / "config.json").read_text()
    where = ("--data", str(root), "--trust-ids", "--epochs", "3")
    result = resume(run, *where)
    assert result.exit_code == 1
    assert changed in result.output
    assert "--accept-changed-data" in result.output
    assert (run / "config.json").read_text() == before
    result = resume(run, *where, "--accept-changed-data")
    assert result.exit_code == 0, result.output
    assert changed in result.output
    assert [line["epoch"] for line in lines(run)] == [1, 2, 3]
    assert resume(run, "--epochs", "4").exit_code == 0  # these are the run's data now


def test_features_of_other_bytes_are_refused(tiny_set, run, tmp_path):
    from frostgrid.featurize.cli import featurize

    root, files = tiny_set
    other = tmp_path / "other.h5"
    where = ["--data", str(root), "--split", "train", "--out", str(other), "--device", "cpu"]
    how = ["--backbone", "resnet18", "--weights", "random", "--image-size", "64", "--amp", "off"]
    shutil.copytree(root / "images", tmp_path / "kept")
    from PIL import Image

    picture = root / "images" / "train_100.png"
    kept = picture.read_bytes()
    try:
        Image.new("RGB", (64, 48), (1, 2, 3)).save(picture)
        featurize.main([*where, *how], standalone_mode=False)
    finally:
        picture.write_bytes(kept)
    features = ("--features", str(other), "--features", str(files[1]), "--trust-ids")
    result = resume(run, *features, "--epochs", "3")
    assert result.exit_code == 1
    assert "the training features are not those" in result.output


def test_a_run_without_digests_goes_on_with_a_word(run):
    edit(run / "config.json", lambda config: config.pop("digests"))
    tensors, about = read_tensors(run / "last.safetensors")
    del about["digests"]
    write_tensors(run / "last.safetensors", tensors, about)
    result = resume(run, "--epochs", "3")
    assert result.exit_code == 0, result.output
    assert "its data cannot be compared" in result.output
    assert json.loads((run / "config.json").read_text())["digests"]


def test_changed_data_begin_an_interrupted_epoch_again(run):
    tensors, about = read_tensors(run / "last.safetensors")
    about["progress"] |= {"batches": 999, "items": 10, "loss_sum": 5.0}
    about["digests"]["val_answers"] = "other"
    write_tensors(run / "last.safetensors", tensors, about)
    result = resume(run, "--epochs", "3", "--accept-changed-data")
    assert result.exit_code == 0, result.output
    assert len(lines(run)) == 3
    assert json.loads((run / "summary.json").read_text())["best_epoch"] == 3


# Other processes


def test_a_config_of_an_earlier_version_selects_and_sees_as_it_did(run):
    def forget(config):
        config["head_settings"] = {}
        for name in ("select_by", "smoothing"):
            del config["optimisation"][name]

    edit(run / "config.json", forget)
    o = RunFolder(run).read_config().optimisation
    assert (o.select_by, o.smoothing) == ("score", 0.0)
    settings = VqaHeadConfig(10, 10, 8)
    assert (settings.growth, settings.image_dropout, settings.whole_norm) == (1.0, 0.0, True)
    assert settings.fusion == "multiply"


def test_a_run_folder_is_trained_in_by_one_process(run, tiny_set, tmp_path):
    other = RunFolder(run)
    other.take_lock()
    try:
        result = resume(run, "--epochs", "3")
        assert result.exit_code == 1
        assert f"{run}: another process is training in this folder" in result.output
        assert len(lines(run)) == 2
    finally:
        other.release_lock()
    new = RunFolder(tmp_path / "new")
    new.take_lock()
    try:
        output = run_head("mean-embed", tiny_set, tmp_path / "new", *SMALL, code=1)
        assert "another process is training in this folder" in output
    finally:
        new.release_lock()
    assert resume(run, "--epochs", "3").exit_code == 0


def test_what_killed_processes_left_is_removed(run):
    left = [run / ".tmpAb3xYz", run / ".config.json.0a1b2c3d.tmp", run / ".last.safetensors.tmp"]
    kept = [run / ".mine", run / "notes.tmp"]
    for path in left + kept:
        path.write_text("x")
    assert resume(run).exit_code == 0
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


# Half-written lines


def test_a_half_written_line_is_dropped_with_a_word(run):
    whole = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(whole + whole.splitlines()[0][:70])
    epochs, broken = read_metrics(run / "metrics.jsonl")
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert broken == [3]
    result = resume(run, "--epochs", "3")
    assert result.exit_code == 0, result.output
    assert "line 3 was not written whole and is dropped" in result.output
    assert [line["epoch"] for line in lines(run)] == [1, 2, 3]


def test_metrics_of_which_the_disk_took_half_are_not_written(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.append_metrics({"epoch": 1})
    with monkeypatch.context() as full:

        def no_room(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "fsync", no_room)
        with pytest.raises(OSError, match="No space left") as error:
            run.append_metrics({"epoch": 2})
    assert error.value.filename == str(run.metrics)
    run.append_metrics({"epoch": 2, "val_loss": 1.0})
    assert read_metrics(run.metrics) == ([{"epoch": 1}, {"epoch": 2, "val_loss": 1.0}], [])


# Damage


def test_a_checkpoint_knows_its_checksum(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {
        "a": torch.arange(5),
        "b": torch.ones(2, 3, dtype=torch.bfloat16),
        "c": torch.ones(0),
    }
    write_tensors(path, tensors, {"epoch": 3})
    with safe_open(path, "pt") as file:
        assert file.metadata()["crc32"] == checksum(tensors, '{"epoch": 3}')
    save_file(tensors, path, metadata={"frostgrid": '{"epoch": 3}'})  # as it was once
    assert read_tensors(path)[1] == {"epoch": 3}


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
def test_a_flipped_bit_of_a_checkpoint_is_told(name, finished, tmp_path):
    path = tmp_path / name
    data = (finished / name).read_bytes()
    random.seed(name)
    header = 8 + int.from_bytes(data[:8], "little")
    spots = [random.randrange(header) for _ in range(60)]
    spots += [random.randrange(header, len(data)) for _ in range(20)]
    wanted = read_tensors(finished / name)
    for spot in spots:
        flipped = bytearray(data)
        flipped[spot] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        sentence = ""
        try:
            tensors, about = read_tensors(path)
        except InputError as error:
            sentence = str(error)
        if sentence:
            assert f"{path}: not a checkpoint of frostgrid, or damaged" in sentence
            continue
        assert about == wanted[1]
        assert all(torch.equal(tensors[key], value) for key, value in wanted[0].items())


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "metrics.jsonl"])
def test_a_flipped_bit_of_another_file_changes_no_weights(name, run, finished):
    data = (finished / name).read_bytes()
    wanted = read_tensors(finished / "best.safetensors")[0]
    random.seed(name)
    n_read = 0
    for _ in range(60):
        flipped = bytearray(data)
        flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
        (run / name).write_bytes(flipped)
        sentence = ""
        try:
            trained = load_run(run, CPU)
            RunFolder(run).keep_epochs(2)
        except InputError as error:
            sentence = str(error)
        if sentence:
            assert "\n" not in sentence.rstrip()
            continue
        n_read += 1
        state = trained.head.state_dict()
        assert all(torch.equal(state[key], value) for key, value in wanted.items())
    assert (name == "vocabulary.json") == (n_read == 0)


VALUES = [None, -1, 0, 1e400, float("nan"), "", "x", [], {}, ["x"], {"x": 1}, True, 2**70, 10**6]


def test_edited_configs_are_one_sentence_or_load(run, finished):
    config = json.loads((finished / "config.json").read_text())
    rng = random.Random(0)
    paths = [(key,) for key in config] + [
        (key, inner)
        for key in ("optimisation", "head_settings", "data_settings", "feature_identity", "digests")
        for inner in config[key]
    ]
    n_refused = 0
    for path in paths:
        for value in [*rng.sample(VALUES, 4), ...]:
            changed = json.loads(json.dumps(config))
            inside = changed
            for key in path[:-1]:
                inside = inside[key]
            if value is ...:
                del inside[path[-1]]
            else:
                inside[path[-1]] = value
            (run / "config.json").write_text(json.dumps(changed))
            sentence = ""
            try:
                load_run(run, CPU)
            except InputError as error:
                sentence = str(error)
            if sentence:
                n_refused += 1
                named = ("config.json", "vocabulary.json", ".safetensors")
                assert any(name in sentence for name in named), (path, value, sentence)
    assert n_refused > len(paths)


def test_the_error_of_a_config_names_the_field(run):
    edit(run / "config.json", lambda config: config["optimisation"].update(epochs="many"))
    result = resume(run)
    assert result.exit_code == 1
    assert "config.json: not the config of a run of this version: Expected `int`, got `str`" in (
        result.output
    )
    assert "$.optimisation.epochs" in result.output
    edit(run / "config.json", lambda config: config.update(optimisation={}, colour="red"))
    assert "unknown field `colour`" in resume(run).output


def test_a_config_of_an_earlier_version_loads(finished):
    config = json.loads((finished / "config.json").read_text())
    for name in ("digests", "trust_ids", "order", "finetune", "frostgrid"):
        config.pop(name)
    read = RunConfig.of_fields(config)
    assert (read.digests, read.order, read.finetune) == ({}, "auto", None)
    assert RunConfig.of_fields(asdict(read)) == read


def test_resuming_a_finished_run_changes_nothing(run, finished):
    assert resume(run).exit_code == 0
    same_state(run, finished)
    assert (
        final_state(run)[1]["digests"] == json.loads((run / "config.json").read_text())["digests"]
    )
