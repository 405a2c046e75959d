import json
import os
import signal

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from frostgrid.explain.cli import explain
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.file.reader import open_features
from frostgrid.predict.backbone import FrozenNetwork
from frostgrid.predict.cli import predict
from frostgrid.predict.inference import answer_question, generate_caption
from frostgrid.predict.photo import read_photo
from frostgrid.predict.trained import load_run
from frostgrid.train.checkpoint import read_tensors
from frostgrid.train.cli import train_head
from frostgrid.train.finetuning import build_encoder
from frostgrid.train.steps.plain import PlainStep
from reference.runs import lines, run_head, same_state

CPU = torch.device("cpu")
SIZE = 64  # pixels: 4x4 cells of layer3, 2x2 of layer4
SMALL = ("--epochs", "1", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")
FINETUNE = (*SMALL, "--finetune", "layer4")
IDENTITY = {"backbone": "resnet18", "image_size": SIZE}


def extract(root, folder, *more):
    files = []
    for split in ("train", "val"):
        files.append(folder / f"{split}.h5")
        where = ["--data", str(root), "--split", split, "--out", str(files[-1])]
        how = ["--backbone", "resnet18", "--image-size", str(SIZE), "--device", "cpu"]
        more = more or ("--weights", "random")
        featurize.main([*where, *how, "--amp", "off", *more], standalone_mode=False)
    return files


@pytest.fixture(scope="module")
def native(tiny_set, tmp_path_factory):
    """The tiny set and its cells of layer3, as many as there are."""
    more = ("--weights", "random", "--layer", "layer3", "--grid", "native")
    return tiny_set[0], extract(tiny_set[0], tmp_path_factory.mktemp("native"), *more)


@pytest.fixture(scope="module")
def runs(native, tmp_path_factory):
    """Fine-tuned runs by head, the encoder's steps so long that it matters."""
    folder = tmp_path_factory.mktemp("runs")
    for head in ("san", "mean-embed", "show-attend-tell", "rnn-decoder"):
        output = run_head(head, native, folder / head, *FINETUNE, "--encoder-lr", "1e-3")
        assert "layer4 of resnet18 learns, 8,388,608 parameters, lr 0.001" in output
        assert "4x4 cells of layer3 in, 2x2 out" in output
    return {path.name: path for path in folder.iterdir()}


def encoder_of(path):
    tensors, _ = read_tensors(path / "best.safetensors")
    return {k[len("encoder.block.") :]: v for k, v in tensors.items() if k.startswith("encoder.")}


def test_without_steps_of_the_encoder_a_run_equals_one_on_the_layer_after(
    native, tiny_set, resnet, tmp_path
):
    (tmp_path / "layer4").mkdir()
    frozen = tiny_set[0], extract(tiny_set[0], tmp_path / "layer4")
    run_head("san", frozen, tmp_path / "frozen", *SMALL)
    run_head("san", native, tmp_path / "still", *FINETUNE, "--encoder-lr", "0")
    losses = [
        [line["val_loss"] for line in lines(path)]
        for path in (tmp_path / "frozen", tmp_path / "still")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    start = resnet.network.layer4.state_dict()
    assert all(
        torch.equal(start[key], value) for key, value in encoder_of(tmp_path / "still").items()
    )


@pytest.mark.parametrize("head", ["san", "mean-embed", "show-attend-tell", "rnn-decoder"])
def test_convolutions_move_and_statistics_stay(head, runs, resnet):
    start = resnet.network.layer4.state_dict()
    end = encoder_of(runs[head])
    assert end.keys() == start.keys()
    for key, value in end.items():
        is_norm = "bn" in key or "downsample.1" in key
        assert torch.equal(value, start[key]) == is_norm, key


@pytest.mark.parametrize("head", ["san", "mean-embed"])
def test_a_photo_is_answered_by_the_block_that_was_trained(head, runs, native):
    trained = load_run(runs[head], CPU)
    network = FrozenNetwork(trained.config, None, CPU)
    predicted = {
        entry["question_id"]: entry["answer"]
        for entry in json.loads((runs[head] / "preds.json").read_text())
    }
    file = open_features(native[1][1])
    for question in json.loads((native[0] / "val_questions.json").read_text())["questions"]:
        image_id = question["image_id"]
        features = network.extract(read_photo(native[0] / "images" / f"val_{image_id}.png"))
        stored = file.grid[file.rows(np.array([image_id]))[0]].astype(np.float32)
        mine = features.grid.values[0].float().numpy()
        assert mine.shape == (16, 256)
        assert np.abs(mine - stored).max() < 0.02 * stored.max()
        answered = answer_question(
            trained, features.select(trained.head.features), question["question"]
        )
        assert answered.answers[0][0] == predicted[question["question_id"]]
        assert [where.shape for where in answered.attention] == [(196,)] * (
            2 if head == "san" else 0
        )


@pytest.mark.parametrize("head", ["show-attend-tell", "rnn-decoder", "san"])
def test_predictions_and_pictures_of_a_fine_tuned_run(head, runs, native, tmp_path):
    trained = load_run(runs[head], CPU)
    out = tmp_path / "preds.json"
    arguments = [str(runs[head]), "--out", str(out), "--beam", "1", "--device", "cpu"]
    result = CliRunner().invoke(predict, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text()) == json.loads((runs[head] / "preds.json").read_text())
    photo = native[0] / "images" / "val_500.png"
    picture = tmp_path / "sheet.png"
    asked = ["--question", "is it red?"] if head == "san" else []
    arguments = [str(runs[head]), "--image", str(photo), "--out", str(picture), *asked]
    result = CliRunner().invoke(explain, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size > 1000
    assert ("attention  none" in result.output) == (head == "rnn-decoder")
    if head != "san":
        features = FrozenNetwork(trained.config, None, CPU).extract(read_photo(photo))
        assert bool(generate_caption(trained, features.grid).attention) == (
            head == "show-attend-tell"
        )


def test_a_stopped_run_resumes_to_the_same_bits(native, tmp_path, monkeypatch):
    more = (*FINETUNE, "--encoder-lr", "1e-3", "--flip")
    run_head("san", native, tmp_path / "whole", *more)
    steps = 0
    backward = PlainStep.backward

    def interrupted(self, *arguments):
        nonlocal steps
        steps += 1
        if steps == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return backward(self, *arguments)

    monkeypatch.setattr(PlainStep, "backward", interrupted)
    run_head("san", native, tmp_path / "stopped", *more, code=1)
    monkeypatch.undo()
    # The checkpoint has the block: the network's weights are not needed any more.
    monkeypatch.setattr("frostgrid.train.head.load_pretrained", None)
    arguments = ["--resume", str(tmp_path / "stopped"), "--device", "cpu"]
    result = CliRunner().invoke(train_head, arguments)
    assert result.exit_code == 0, result.output
    same_state(tmp_path / "whole", tmp_path / "stopped")


def test_features_that_a_block_cannot_go_on_from_are_refused(native, tiny_set, tmp_path):
    output = run_head("san", tiny_set, tmp_path / "run", *FINETUNE, code=1)
    assert "holds cells of layer4, but --finetune layer4 goes on from those of layer3" in output
    assert "`featurize --backbone resnet18 --layer layer3 --grid native" in output
    more = ("--weights", "random", "--layer", "layer3")
    averaged = tiny_set[0], extract(tiny_set[0], tmp_path, *more)
    output = run_head("san", averaged, tmp_path / "run", *FINETUNE, code=1)
    assert "its 4x4 cells of layer3 were averaged to 14x14" in output
    other = tmp_path / "other.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), other)
    output = run_head("san", native, tmp_path / "run", *FINETUNE, "--weights", other, code=1)
    assert "these are other weights" in output
    assert not (tmp_path / "run").exists()


def test_options_of_fine_tuning_need_something_to_fine_tune(native, tmp_path):
    output = run_head("question-only", native, tmp_path / "run", *FINETUNE, code=2)
    assert "question-only does not look at the image" in output
    for option in (("--encoder-lr", "0.1"), ("--weights", "random"), ("--flip",)):
        output = run_head("san", native, tmp_path / "run", *SMALL, *option, code=2)
        assert f"{option[0]} is of use with --finetune alone" in output
    output = run_head("san", native, tmp_path / "run", *FINETUNE, "--encoder-lr", "-1", code=1)
    assert "encoder's learning rate is -1.0" in output


def test_a_head_can_read_a_native_grid_itself(native, tmp_path):
    run_head("san", native, tmp_path / "run", *SMALL)
    photo = native[0] / "images" / "val_500.png"
    arguments = [str(tmp_path / "run"), "--image", str(photo), "--question", "is it red?"]
    result = CliRunner().invoke(explain, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "explain-val_500.png").exists()


def test_an_untrained_encoder_takes_no_random_numbers():
    torch.manual_seed(0)
    build_encoder(IDENTITY, "layer4", pooled=False, flip=True)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))
