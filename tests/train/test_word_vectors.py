import json

import pytest
import torch
from click.testing import CliRunner
from frostgrid.models.config import CaptionHeadConfig, VqaHeadConfig
from frostgrid.models.registry import HEADS
from frostgrid.train.checkpoint import read_tensors
from frostgrid.train.cli import train_head
from frostgrid.train.head import load_word_vectors
from frostgrid.train.settings.config import WordVectors
from reference.runs import run_head

WORDS = ["<pad>", "<unk>", "<start>", "<end>", "cat", "dog", "red"]


@pytest.fixture
def glove(tmp_path):
    file = tmp_path / "glove.txt"
    file.write_text("cat 1 2 3 4\nred 5 6 7 8\nis 9 9 9 9\ncolor 0 0 0 1\n")
    return file


@pytest.mark.parametrize("name", HEADS)
def test_words_that_the_file_has_begin_with_its_vectors(name, glove):
    small = {"embedding": 4, "hidden": 16, "attention": 8}
    if HEADS[name].task == "vqa":
        head = HEADS[name](VqaHeadConfig(7, 3, 8, **small))
    else:
        head = HEADS[name](CaptionHeadConfig(7, 8, **small))
    before = {key: value.clone() for key, value in head.state_dict().items()}
    said = load_word_vectors(head, WORDS, WordVectors(str(glove), 4))
    assert said.startswith("2 of 7 words begin with the vectors of")
    assert said.endswith("; 5, 'dog' for one, are not in it")
    changed = [key for key, value in head.state_dict().items() if not value.equal(before[key])]
    (key,) = changed
    now = head.state_dict()[key]
    assert now[[4, 6]].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert torch.equal(now[[0, 1, 2, 3, 5]], before[key][[0, 1, 2, 3, 5]])


def test_a_run_takes_the_width_of_its_file_and_its_control_the_vectors(glove, tiny_set, tmp_path):
    out = tmp_path / "run"
    more = ("--word-vectors", glove, "--epochs", "1", "--batch-size", "8")
    output = run_head("mean-embed", tiny_set, out, *more, control=True)
    assert f"words begin with the vectors of {glove}" in output
    config = json.loads((out / "config.json").read_text())
    assert config["word_vectors"] == {"file": str(glove), "width": 4}
    assert read_tensors(out / "best.safetensors")[0]["question.embed.weight"].shape[1] == 4
    assert "gain" in output
    glove.unlink()  # resuming needs it no more
    resume = ["--resume", str(out), "--epochs", "2", "--device", "cpu", "--no-control"]
    assert CliRunner().invoke(train_head, resume).exit_code == 0


def test_a_file_without_vectors_is_told_before_anything_else(tiny_set, tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("only\nwords\n")
    output = run_head("lstm", tiny_set, tmp_path / "run", "--word-vectors", file, code=1)
    assert "no word vectors (line 1 is no word with numbers behind it)" in output
    assert not (tmp_path / "run").exists()
