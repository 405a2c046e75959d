"""What tests of several folders share: a tiny data set with its features."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from frostgrid.featurize.cli import featurize
from frostgrid.models.kernels import choice, threads
from frostgrid.train import control
from frostgrid.train.settings.config import Optimisation
from frostgrid.train.settings.recipes import Recipe
from hypothesis import settings
from PIL import Image
from reference.runs import run_head

if TYPE_CHECKING:
    from frostgrid.featurize.backbones import Backbone

# No property test fails for a slow machine.
settings.register_profile("frostgrid", deadline=None, max_examples=50)
settings.load_profile("frostgrid")

# The tensors of tests are small: a second thread would only wait, long on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def smallest_to_kernels() -> Iterator[None]:
    """Send to the kernels what would be too small to be worth it."""
    before = choice._FEW_STEPS
    choice._FEW_STEPS = 0
    yield
    choice._FEW_STEPS = before


@pytest.fixture(scope="module")
def on_two_threads() -> Iterator[None]:
    """Two threads, however small the problem."""
    before = torch.get_num_threads(), threads.SERIAL_STEPS
    torch.set_num_threads(2)
    threads.SERIAL_STEPS = 0
    yield
    torch.set_num_threads(before[0])
    threads.SERIAL_STEPS = before[1]


COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def write_split(root: Path, split: str, n: int, first_id: int) -> None:
    """Plain images of one colour, each with two questions and two captions."""
    names = list(COLORS)
    questions, annotations, images, captions = [], [], [], []
    for i in range(n):
        image_id, color = first_id + i, names[i % 3]
        pixels = np.random.default_rng(image_id).integers(0, 30, (48, 64, 3))
        picture = Image.fromarray((pixels + COLORS[color]).clip(0, 255).astype(np.uint8))
        (root / "images").mkdir(exist_ok=True)
        picture.save(root / "images" / f"{split}_{image_id}.png")
        images.append({"id": image_id, "file_name": f"{split}_{image_id}.png"})
        asked = [("what color is it?", color), ("is it red?", "yes" if color == "red" else "no")]
        for k, (question, answer) in enumerate(asked):
            key = {"question_id": image_id * 10 + k, "image_id": image_id}
            questions.append({**key, "question": question})
            ten = [{"answer": answer, "answer_id": a} for a in range(1, 11)]
            annotations.append(
                {**key, "answers": ten, "question_type": question[:4], "answer_type": "other"}
            )
        for text in (f"a {color} picture .", f"the picture is all {color} ."):
            captions.append({"image_id": image_id, "caption": text, "id": len(captions)})
    for name, value in (
        ("questions", {"questions": questions}),
        ("annotations", {"annotations": annotations}),
        ("captions", {"images": images, "annotations": captions}),
    ):
        (root / f"{split}_{name}.json").write_text(json.dumps(value))


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A data folder of 18 + 9 images, and its two feature files (a random ResNet-18 at 64 px)."""
    root = tmp_path_factory.mktemp("tiny")
    write_split(root, "train", 18, 100)
    write_split(root, "val", 9, 500)
    files = []
    for split in ("train", "val"):
        files.append(root / f"{split}.h5")
        arguments = ["--backbone", "resnet18", "--weights", "random", "--image-size", "64"]
        arguments += ["--data", str(root), "--split", split, "--out", str(files[-1])]
        featurize.main([*arguments, "--device", "cpu"], standalone_mode=False)
    return root, files


@pytest.fixture(scope="session")
def resnet() -> "Backbone":
    """A whole frozen network, ResNet-18 with random weights."""
    from frostgrid.featurize.backbones import load_backbone  # and torchvision, which takes its time

    return load_backbone("resnet18", "layer4", "random", 0)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test: nothing is in it yet, nor is it there."""
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True, scope="session")
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Parsed data are cached in a folder of the tests, never in the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FROSTGRID_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True, scope="session")
def short_control() -> None:
    """The blind head that runs are compared with is trained for two epochs, not 1,000 updates."""
    short = Recipe({}, Optimisation(epochs=2), ())
    pytest.MonkeyPatch().setattr(control, "blind_recipe", lambda name: short)


SMALL = ("--epochs", "2", "--batch-size", "8", "--min-word-count", "1", "--amp", "off")


@pytest.fixture(scope="session")
def runs(
    tiny_set: tuple[Path, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Tiny runs, trained for real: a run folder of each of some heads, by the head's name."""
    folder = tmp_path_factory.mktemp("runs")
    for head in (
        *("san", "mcan", "mean-embed", "question-only"),
        *("show-attend-tell", "rnn-decoder", "transformer-decoder"),
    ):
        run_head(head, tiny_set, folder / head, *SMALL)
    return {path.name: path for path in folder.iterdir()}
