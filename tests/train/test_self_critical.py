import json
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.train import prepare
from frostgrid.train.checkpoint import load_weights, read_tensors
from frostgrid.train.cli import train_head
from frostgrid.train.initial import load_initial
from frostgrid.train.run_folder import RunFolder
from frostgrid.train.settings.config import SelfCritical
from frostgrid.train.steps.plain import PlainStep
from frostgrid.train.tasks import self_critical
from frostgrid.train.tasks.self_critical import advantages
from frostgrid.train.tasks.task import Precision
from reference.caption_metrics import cider
from reference.runs import lines, run_head, same_state

CPU = torch.device("cpu")
SHORT = ("--epochs", "2", "--batch-size", "8")


@pytest.fixture
def task(runs):
    return task_of(runs["show-attend-tell"], None)


def task_of(run, amp):
    folder = RunFolder(run)
    config = replace(folder.read_config(), scst=SelfCritical(str(run), "", 3))
    task = prepare.prepare(config, Precision(CPU, amp)).task
    load_weights(task.head, read_tensors(folder.best)[0], folder.best)
    return task


def batch_of(task, n=8):
    return next(task.train.batches(np.arange(task.train.n_images), n, CPU))


def test_the_baseline_is_the_mean_of_the_others():
    reward = np.array([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    assert advantages(reward).tolist() == [-3.0, -1.5, 4.5, 0.0, 0.0, 0.0]


def test_loss_and_gradient_equal_a_plain_reference(task, monkeypatch):
    """Captions one by one, word by word; CIDEr-D by the reference of ``score``."""
    drawn = []
    draw = self_critical.draw

    def remember(*given):
        drawn.append(draw(*given))
        return drawn[-1]

    monkeypatch.setattr(self_critical, "draw", remember)
    for module in task.head.modules():
        if hasattr(module, "p"):
            module.p = 0.0  # no dropout, so that both see the same
    batch = batch_of(task)
    loss = task.loss(batch)
    loss.backward()
    mine = {name: p.grad.clone() for name, p in task.head.named_parameters()}
    task.head.zero_grad()
    ((words, length),) = drawn

    data = task.train_data
    image_of_item = data.image_id[batch.item]
    images = list(dict.fromkeys(image_of_item.tolist()))
    said = {image: [] for image in data.image_ids.tolist()}
    for image, tokens, n in zip(data.image_id, data.tokens, data.length, strict=True):
        said[int(image)].append(tokens[1:n].tolist())
    total = 0.0
    for u, image in enumerate(images):
        rows = range(3 * u, 3 * u + 3)
        captions = [words[b, 1 : length[b]].tolist() for b in rows]
        index, n = list(said).index(image), len(said)
        rewards = [
            cider([caption if i == index else [] for i in range(n)], list(said.values()))[index]
            for caption in captions
        ]
        for k, b in enumerate(rows):
            baseline = (sum(rewards) - rewards[k]) / 2
            encoded = task.head.encode(batch.features.floats()[u : u + 1])
            zero = torch.tensor([0])
            state = task.head.initial(encoded, zero)
            for before, word in zip(words[b], captions[k], strict=False):
                read = task.head.read(before[None])
                output, state, _ = task.head.step(encoded, zero, read, state)
                scores = task.head.scores(output)[0].clone()
                scores[:3] = -torch.inf
                total = total - (rewards[k] - baseline) * scores.log_softmax(0)[word]
    plain = total / len(words)
    torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-6)
    plain.backward()
    for name, p in task.head.named_parameters():
        torch.testing.assert_close(mine[name], p.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("head", ["show-attend-tell", "transformer-decoder"])
def test_every_parameter_learns_in_half_precision(head, runs):
    task = task_of(runs[head], torch.bfloat16)
    with task.precision.autocast():
        loss = task.loss(batch_of(task))
    loss.backward()
    assert all(p.grad is not None for p in task.head.parameters())


def test_a_run_goes_on_from_another_one_and_resumes(runs, tiny_set, tmp_path, monkeypatch):
    init = runs["show-attend-tell"]
    more = ("--init", init, "--scst", *SHORT)
    output = run_head("show-attend-tell", tiny_set, tmp_path / "whole", *more)
    assert f"begins     with the best weights of {init}" in output
    assert "scoring took" in output
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["scst"]["init"] == str(init)
    assert len(config["scst"]["init_sha256"]) == 64
    summary = json.loads((tmp_path / "whole" / "summary.json").read_text())
    assert 0 < summary["scoring_share"] < 1
    assert all(0 <= epoch["train_reward"] <= 10 for epoch in lines(tmp_path / "whole"))

    steps, backward = 0, PlainStep.backward

    def interrupted(self, *arguments):
        nonlocal steps
        steps += 1
        if steps == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return backward(self, *arguments)

    monkeypatch.setattr(PlainStep, "backward", interrupted)
    run_head("show-attend-tell", tiny_set, tmp_path / "stopped", *more, code=1)
    monkeypatch.undo()
    resume = ["--resume", str(tmp_path / "stopped"), "--device", "cpu", "--no-control"]
    assert CliRunner().invoke(train_head, resume).exit_code == 0
    same_state(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize(
    ("head", "more", "code", "message"),
    [
        ("san", ("--scst",), 2, "san writes no captions; --scst is for rnn-decoder"),
        ("rnn-decoder", ("--scst",), 2, "train one first, and name it by --init"),
        ("rnn-decoder", ("--init", "x"), 2, "--init is of use with --scst alone"),
        ("rnn-decoder", ("--scst", "--init", "x", "--recipe", "report"), 2, "--recipe cannot go"),
        ("rnn-decoder", ("--scst", "--init", "x"), 1, "x/config.json: no such file"),
        ("rnn-decoder", ("--scst", "--init", "OTHER"), 1, "trains 'show-attend-tell', not"),
    ],
)
def test_what_cannot_be_gone_on_from_is_told(head, more, code, message, runs, tiny_set, tmp_path):
    given = [str(runs["show-attend-tell"]) if word == "OTHER" else word for word in more]
    assert message in run_head(head, tiny_set, tmp_path / "run", *given, code=code)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [((), (50, 2e-4)), (("--batch-size", "100", "--lr", "5e-5"), (100, 5e-5))],
)
def test_a_small_set_has_smaller_batches_and_learns_faster(
    typed, expected, runs, tiny_set, tmp_path
):
    more = ("--init", runs["rnn-decoder"], "--scst", "--epochs", "1", *typed)
    run_head("rnn-decoder", tiny_set, tmp_path / "run", *more)
    o = RunFolder(tmp_path / "run").read_config().optimisation
    assert (o.batch_size, o.lr) == expected


def test_other_words_and_other_features_are_refused(runs, tiny_set, tmp_path):
    init = tmp_path / "init"
    shutil.copytree(runs["rnn-decoder"], init)
    config = json.loads((init / "config.json").read_text())
    config["feature_identity"]["backbone"] = "resnet50"
    (init / "config.json").write_text(json.dumps(config))
    more = ("--init", init, "--scst", *SHORT)
    output = run_head("rnn-decoder", tiny_set, tmp_path / "run", *more, code=1)
    assert "not of the kind that the run was trained on: backbone 'resnet18' instead of" in output

    shutil.rmtree(init)
    shutil.copytree(runs["rnn-decoder"], init)
    other = tmp_path / "data"
    shutil.copytree(tiny_set[0], other)
    captions = json.loads((other / "train_captions.json").read_text())
    captions["annotations"][0]["caption"] = "something else"
    (other / "train_captions.json").write_text(json.dumps(captions))
    output = run_head("rnn-decoder", (other, tiny_set[1]), tmp_path / "run", *more, code=1)
    assert "was trained with other words than the captions of" in output


def test_a_checkpoint_written_anew_is_not_that_of_the_plan(runs):
    task = task_of(runs["rnn-decoder"], None)
    config = RunFolder(runs["rnn-decoder"]).read_config()
    config = replace(config, scst=SelfCritical(str(runs["rnn-decoder"]), "0" * 64))
    with pytest.raises(ValueError, match="was written anew meanwhile"):
        load_initial(task, config)
