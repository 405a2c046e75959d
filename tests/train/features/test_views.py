"""Training on images as they are and mirrored."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.distributed import Share
from frostgrid.errors import InputError
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.layout import MIRRORED
from frostgrid.featurize.file.reader import open_features
from frostgrid.predict.cli import predict
from frostgrid.train import prepare
from frostgrid.train.cli import train_head
from frostgrid.train.control import blind_config, fingerprint
from frostgrid.train.data.digests import features_digest
from frostgrid.train.data.order import coin_flips, shuffled
from frostgrid.train.data.resident import ResidentSamples, no_targets
from frostgrid.train.features.joined_splits import JoinedSplits
from frostgrid.train.features.locate import find_features
from frostgrid.train.features.split import SplitFeatures
from frostgrid.train.features.views import check_mirrored, open_mirrored, says_side
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.steps.plain import PlainStep
from frostgrid.train.tasks.task import Precision
from reference.feature_files import write_file
from reference.runs import lines, run_head, same_state

CPU = torch.device("cpu")
SMALL = ("--batch-size", "8", "--min-word-count", "1", "--amp", "off")
VIEWS = "views      mirrored images of 17 of 18, drawn every epoch; 1 keep their side, as their"


@pytest.fixture(scope="module")
def both_views(tiny_set, tmp_path_factory):
    """The tiny set with mirrored images of its training split, one of which says "left"."""
    root = tmp_path_factory.mktemp("views") / "tiny"
    shutil.copytree(tiny_set[0], root)
    said = json.loads((root / "train_captions.json").read_text())
    said["annotations"][4]["caption"] = "a red picture , seen from the LEFT."  # of image 102
    (root / "train_captions.json").write_text(json.dumps(said))
    given = json.loads((root / "train_annotations.json").read_text())
    given["annotations"][6]["answers"][9]["answer"] = "to the right"  # of image 103
    (root / "train_annotations.json").write_text(json.dumps(given))
    arguments = ["--backbone", "resnet18", "--weights", "random", "--image-size", "64"]
    arguments += ["--data", str(root), "--split", "train", "--out", str(root / "train.h5")]
    featurize.main([*arguments, "--views", "2", "--device", "cpu"], standalone_mode=False)
    return root, [root / "train.h5", root / "val.h5"]


@pytest.fixture(scope="module")
def run(both_views, tmp_path_factory):
    """A caption run of both views, and what it printed."""
    out = tmp_path_factory.mktemp("run") / "run"
    return out, run_head("rnn-decoder", both_views, out, *SMALL, "--epochs", 2)


def task_of(run, **changes):
    config = replace(RunFolder(run).read_config(), **changes)
    return prepare.prepare(config, Precision(CPU, None)).task


def test_every_epoch_shows_each_image_in_one_of_its_views(run, both_views, tmp_path, monkeypatch):
    out, output = run
    assert VIEWS in output
    assert RunFolder(out).read_config().views == 2
    read = []
    gather = SplitFeatures.gather

    def spy(self, rows, device):
        if self.mirrored:
            read.append(rows)
        return gather(self, rows, device)

    monkeypatch.setattr(SplitFeatures, "gather", spy)
    # From a disk that memory cannot keep, too.
    monkeypatch.setattr(prepare, "available_bytes", lambda: 1)
    more = ("--texts-per-image", 0, "--epochs", 8, "--patience", 0, "--order", "auto")
    output = run_head("rnn-decoder", both_views, tmp_path / "run", *SMALL, *more)
    assert "read ahead from disk" in output
    assert RunFolder(tmp_path / "run").read_config().order == "local"
    rows = np.concatenate(read[1:]).reshape(8, 18)  # but those of the statistics
    assert (np.sort(rows % 18) == np.arange(18)).all()  # each image once an epoch
    n_mirrored = (rows >= 18).sum(1)
    assert 0 < n_mirrored.min() < n_mirrored.max() < 18
    assert set(np.unique(rows[rows >= 18]) - 18) == set(range(18)) - {2}  # that says left


def test_questions_and_all_of_their_answers_are_looked_at(both_views, tmp_path):
    output = run_head("mean-embed", both_views, tmp_path / "run", *SMALL, "--epochs", 1)
    assert VIEWS in output
    assert task_of(tmp_path / "run").sided_images.tolist() == [103]


@pytest.mark.parametrize("step", ["plain", "captured"])
def test_a_stopped_run_resumes_to_the_same_bits(step, both_views, tmp_path, monkeypatch):
    more = (*SMALL, "--epochs", "2", "--texts-per-image", "1", "--step", step)
    output = run_head("rnn-decoder", both_views, tmp_path / "whole", *more)
    assert VIEWS in output
    set_rate, n_updates = PlainStep.set_rate, 0

    def stopped(self, rate):
        nonlocal n_updates
        n_updates += 1
        if n_updates == 7 + 8 * (step == "captured"):  # of which 8 compare the steps
            os.kill(os.getpid(), signal.SIGTERM)
        set_rate(self, rate)

    monkeypatch.setattr(PlainStep, "set_rate", stopped)
    run_head("rnn-decoder", both_views, tmp_path / "run", *more, code=1)
    assert len(lines(tmp_path / "run")) == 1
    again = ["--resume", str(tmp_path / "run"), "--device", "cpu"]
    assert CliRunner().invoke(train_head, again).exit_code == 0
    same_state(tmp_path / "whole", tmp_path / "run")


def test_resident_batches_and_those_of_several_processes_are_the_same(run):
    task = task_of(run[0], step="captured")
    samples = task.train
    rows, order = samples.draw_rows(3, 5), shuffled(samples.n_groups, 3, 5)
    kept = samples.features.resident.clone()
    batches = list(samples.batches(order, 8, CPU, image_row=rows))
    resident = ResidentSamples(samples, no_targets, CPU, 8)
    slots = resident.plan(order, image_row=rows)
    for slot, batch in zip(slots, batches, strict=True):
        values = resident.read(slot.packed, slot.shape).features.values
        assert torch.equal(values[: len(batch.features.values)], batch.features.values)
    samples.features.resident = None  # from the files
    from_files = list(samples.batches(order, 8, CPU, image_row=rows))
    for mine, batch in zip(from_files, batches, strict=True):
        assert torch.equal(mine.features.values, batch.features.values)
    assert len(kept) == 18 + 17
    parts = [list(samples.batches(order, 8, CPU, 0, rows, Share(k, 2))) for k in (0, 1)]
    for k, batch in enumerate(batches):
        first, second = (part[k].features.values for part in parts)
        assert torch.equal(first, batch.features.values[::2])
        assert torch.equal(second, batch.features.values[1::2])


def test_the_draw_is_of_the_seed_and_the_epoch_alone():
    flips = np.array([coin_flips(500, seed, epoch) for seed in (0, 1) for epoch in (1, 2)])
    assert np.array_equal(flips[1], coin_flips(500, 0, 2))
    assert (np.abs(flips.mean(1) - 0.5) < 0.1).all()
    assert (np.abs(np.corrcoef(flips)[np.triu_indices(4, 1)]) < 0.2).all()


def test_one_view_is_taken_where_it_is_asked_for_or_was_before(run, both_views, tmp_path):
    output = run_head(
        "rnn-decoder", both_views, tmp_path / "a", *SMALL, "--epochs", 1, "--views", 1
    )
    assert "\nviews " not in output
    plain = RunFolder(tmp_path / "a").read_config()
    assert plain.views == 1
    old = json.loads((tmp_path / "a" / "config.json").read_text())
    del old["views"], old["feature_identity"]["view"]  # of a run from before
    (tmp_path / "a" / "config.json").write_text(json.dumps(old))
    resumed = CliRunner().invoke(
        train_head, ["--resume", str(tmp_path / "a"), "--epochs", "2", "--device", "cpu"]
    )
    assert resumed.exit_code == 0, resumed.output
    assert "\nviews " not in resumed.output
    assert RunFolder(tmp_path / "a").read_config().digests == plain.digests
    mixed = [*map(str, [both_views[1][0].with_name("train-mirrored.h5"), both_views[1][1]])]
    for command in (["--resume", str(tmp_path / "a"), "--epochs", "3"], ["rnn-decoder"]):
        features = [f"--features={file}" for file in mixed]
        data = ["--data", str(both_views[0]), "--out", str(tmp_path / "b")] * (len(command) == 1)
        refused = CliRunner().invoke(train_head, [*command, *data, *features])
        assert refused.exit_code == 1
        assert "train-mirrored.h5: holds mirrored images, of which" in refused.output
        assert "name the plain ones' file (train.h5)" in refused.output


def test_features_of_another_view_are_other_data(run):
    train = task_of(run[0]).train
    both, plain = (features_digest(train.features, r) for r in (train.all_rows, train.image_row))
    config = RunFolder(run[0]).read_config()
    assert config.digests["train_features"] == both != plain
    assert task_of(run[0], views=1).train.all_rows.tolist() == list(range(18))


def test_a_run_goes_on_with_the_mirrored_images_that_it_had(run, both_views, tmp_path):
    mirrored = both_views[0] / "train-mirrored.h5"
    mirrored.rename(tmp_path / "away.h5")
    try:
        again = ["--resume", str(run[0]), "--epochs", "3", "--device", "cpu"]
        refused = CliRunner().invoke(train_head, again)
    finally:
        (tmp_path / "away.h5").rename(mirrored)
    assert refused.exit_code == 1
    assert "train-mirrored.h5: no such file, which would hold the mirrored images of train.h5" in (
        refused.output
    )
    assert (
        f"--split train --backbone resnet18 --image-size 64 --out {both_views[1][0]} --views 2"
        in (refused.output)
    )


def test_the_blind_control_is_the_same(run):
    config = RunFolder(run[0]).read_config()
    assert fingerprint(config) == fingerprint(replace(config, views=1))
    asked = replace(config, head="san", task="vqa", recipe="default")
    assert fingerprint(blind_config(asked)) == fingerprint(blind_config(replace(asked, views=1)))


def test_with_two_splits_either_both_or_none_have_mirrored_images(both_views, tmp_path):
    more = (*SMALL, "--split", "trainval", "--epochs", 1)
    refused = run_head("rnn-decoder", both_views, tmp_path / "run", *more, code=1)
    assert "val-mirrored.h5: no such file" in refused
    output = run_head("rnn-decoder", both_views, tmp_path / "run", *more, "--views", 1)
    assert "\nviews " not in output


def test_self_critical_training_goes_on_with_both_views(run, both_views, tmp_path):
    more = ("--init", run[0], "--scst", "--epochs", 1)
    assert VIEWS in run_head("rnn-decoder", both_views, tmp_path / "run", *more)
    assert RunFolder(tmp_path / "run").read_config().views == 2


def test_predictions_are_of_the_plain_images(run, both_views):
    command = [str(run[0]), "--split", "train", "--device", "cpu"]
    result = CliRunner().invoke(predict, command)
    assert result.exit_code == 0, result.output
    mirrored = str(both_views[0] / "train-mirrored.h5")
    refused = CliRunner().invoke(predict, [*command, "--features", mirrored])
    assert refused.exit_code == 1
    assert "train-mirrored.h5: holds mirrored images" in refused.output


@pytest.mark.parametrize(
    ("head", "more", "message"),
    [
        ("question-only", (), "question-only does not look at the image; drop --views 2."),
        ("san", ("--finetune", "layer4"), "with --finetune, --flip mirrors the cells themselves"),
    ],
)
def test_views_go_with_frozen_features_alone(head, more, message, tiny_set, tmp_path):
    assert message in run_head(head, tiny_set, tmp_path / "r", "--views", 2, *more, code=2)
    assert not (tmp_path / "r").exists()


def test_a_default_file_of_mirrored_images_is_no_backbones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("set", "features"):
        Path(folder).mkdir()
    Path("set/train_questions.json").touch()
    for name in ("resnet18", "resnet18-mirrored"):
        Path(f"features/set-train-{name}.h5").touch()
    assert find_features("set", ["train"]) == ["features/set-train-resnet18.h5"]


def opened(folder, *names):
    return [open_features(folder / name) for name in names]


def test_mirrored_files_have_to_be_there_for_all_or_none(tmp_path):
    for name, n in (("a", 3), ("b", 4)):
        write_file(tmp_path / f"{name}.h5", n, split="train")
    files = opened(tmp_path, "a.h5", "b.h5")
    assert open_mirrored(files, 0, "set") == []
    with pytest.raises(InputError, match=r"a-mirrored\.h5: no such file.*--data set --split train"):
        open_mirrored(files, 2, "set")
    write_file(tmp_path / "a-mirrored.h5", 3, split="train", view=MIRRORED)
    assert open_mirrored(files, 1, "set") == []
    with pytest.raises(InputError, match=r"b-mirrored\.h5: no such file"):
        open_mirrored(files, 0, "set")
    write_file(tmp_path / "c.h5", 3, backbone="imported")
    with pytest.raises(InputError, match=r"imported from others' features.*--views 1"):
        open_mirrored(opened(tmp_path, "c.h5"), 2, "set")


@pytest.mark.parametrize(
    ("n", "changes", "message"),
    [
        (3, {"view": "plain"}, "is named as the mirrored images of a.h5, but holds plain ones"),
        (3, {"weights_sha256": "1" * 64}, "weights_sha256 1111.*, not 0000"),
        (3, {"preprocessing": "drafted; mirrored left to right"}, "preprocessing drafted, not "),
        (4, {}, r"other images \(4, not 3, or in other order\)"),
    ],
)
def test_what_does_not_fit_is_refused(n, changes, message, tmp_path):
    write_file(tmp_path / "a.h5", 3)
    write_file(tmp_path / "a-mirrored.h5", n, **{"view": MIRRORED, **changes})
    with pytest.raises(InputError, match=message) as refused:
        open_mirrored(opened(tmp_path, "a.h5"), 0, "set")
    assert str(refused.value).startswith(f"{tmp_path}/a-mirrored.h5: ")
    assert "train with --views 1" in str(refused.value)


def test_image_files_that_changed_between_the_views_are_refused(tmp_path):
    write_file(tmp_path / "a.h5", 3)
    write_file(tmp_path / "m.h5", 3, view=MIRRORED)
    plain, mirrored = opened(tmp_path, "a.h5", "m.h5")
    check_mirrored(plain, mirrored)
    mirrored.source_crc32 = mirrored.source_crc32 + np.uint32([0, 1, 0])
    with pytest.raises(InputError, match=r"1 image files changed in between .* 101.png for one"):
        check_mirrored(plain, mirrored)


def test_mirrored_images_that_failed_are_named_if_they_are_used(tmp_path):
    write_file(tmp_path / "a.h5", 4)
    write_file(tmp_path / "a-mirrored.h5", 4, failed=2, view=MIRRORED)
    files = opened(tmp_path, "a.h5")
    features = SplitFeatures(files, "pooled", mirrored=open_mirrored(files, 2, "set"))
    assert features.mirrored_rows(np.array([103, 100])).tolist() == [7, 4]
    with pytest.raises(InputError, match=r"a-mirrored\.h5: 1 of the images asked for \(102\) are"):
        features.mirrored_rows(np.array([100, 102]))


def test_both_views_of_several_splits_are_numbered_through(tmp_path):
    splits = []
    for name, n in (("a", 3), ("b", 2)):
        write_file(tmp_path / f"{name}.h5", n)
        write_file(tmp_path / f"{name}-mirrored.h5", n, view=MIRRORED)
        files = opened(tmp_path, f"{name}.h5")
        splits.append(SplitFeatures(files, "pooled", mirrored=open_mirrored(files, 0, "set")))
    joined = JoinedSplits(splits, [np.array([100, 102]), np.array([101])])
    assert joined.rows(np.arange(3)).tolist() == [0, 2, 7]
    assert joined.mirrored_rows(np.arange(3)).tolist() == [3, 5, 9]
    values = joined.gather(np.array([7, 9]), CPU).values.numpy()
    assert np.array_equal(values[0], splits[1].plain[0].pooled[1])
    assert np.array_equal(values[1], splits[1].mirrored[0].pooled[1])


def test_words_that_tell_a_side():
    told = ["What is on the Left?", "right", "a left-handed man", "the dog's right", "left/right."]
    assert says_side(told).all()
    assert not says_side(
        ["a bright light", "leftover food", "what is upright", "copyrighted", ""]
    ).any()
