"""timm's encoders, with its smallest models and random weights."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.featurize.backbones import Backbone, load_backbone
from frostgrid.featurize.cli import featurize
from frostgrid.featurize.encoders.timm_encoders import TimmEncoder
from frostgrid.featurize.file.reader import open_features
from frostgrid.featurize.network import build_network
from frostgrid.featurize.rebuild import rebuild
from frostgrid.train.features.locate import backbone_of
from frostgrid.train.finetuning import check_features
from PIL import Image

timm = pytest.importorskip("timm", reason="the encoders need timm: pip install timm")
CPU = torch.device("cpu")
VIT, CONVNEXT = "timm:test_vit", "timm:test_convnext"


@pytest.fixture(scope="module")
def vit() -> Backbone:
    return load_backbone(VIT, "layer4", "random", 0)


@pytest.fixture(scope="module")
def convnext() -> Backbone:
    return load_backbone(CONVNEXT, "layer4", "random", 0)


def photos(n: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, side, side, 3), dtype=torch.uint8)


def as_the_model_wants(backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    return ((images / 255 - mean) / std).permute(0, 3, 1, 2)


def test_a_vits_cells_are_its_patch_tokens_and_pooled_its_class_token(vit: Backbone) -> None:
    side = vit.image_size or 0
    images = photos(2, side)
    network = build_network(vit, CPU, torch.float32, torch.float32, vit.native_grid(side))
    with torch.inference_mode():
        grid, pooled = network(images)
        tokens = vit.network.model.forward_features(as_the_model_wants(vit, images))
    assert vit.pooling == "class token"
    assert vit.own_grid == (10, 10)  # 160 pixels in patches of 16
    assert grid.shape == (2, 100, vit.channels)
    torch.testing.assert_close(grid, tokens[:, 1:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pooled, tokens[:, 0], rtol=1e-3, atol=1e-4)


def test_a_convnets_cells_are_its_feature_map_and_pooled_their_mean(convnext: Backbone) -> None:
    images = photos(2, 96)
    network = build_network(convnext, CPU, torch.float32, torch.float32, (3, 3))
    with torch.inference_mode():
        grid, pooled = network(images)
        cells = convnext.network.model.forward_features(as_the_model_wants(convnext, images))
    assert convnext.pooling == "mean of the cells"
    torch.testing.assert_close(grid, cells.flatten(2).mT, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pooled, cells.mean((2, 3)), rtol=1e-3, atol=1e-4)


def test_attention_pooling_is_the_models_own() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0, global_pool="map", class_token=False)
    encoder = TimmEncoder(model, "layer4", model.pretrained_cfg)
    assert encoder.fit(VIT, None, False).pooling == "attention pooling"
    images = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        cells, pooled = encoder(images)
        assert pooled is not None
        torch.testing.assert_close(pooled, model(images), rtol=1e-4, atol=1e-5)
    assert cells.shape == (2, model.num_features, 10, 10)


@pytest.mark.parametrize("name", [VIT, CONVNEXT])
def test_the_stage_before_the_last(name: str, vit: Backbone) -> None:
    before = load_backbone(name, "layer3", "random", 0)
    assert before.own_grid == (10, 10)  # of a ViT as many, of a ConvNeXt twice as many a side
    assert before.pooling == "mean of the cells"
    if name == VIT:
        assert before.weights_sha256 == vit.weights_sha256


def test_a_grid_of_another_size_and_images_of_any_shape(vit: Backbone) -> None:
    larger = load_backbone(VIT, "layer4", "random", 0, image_size=224)
    assert larger.native_grid(224) == (14, 14)
    assert larger.weights_sha256 == vit.weights_sha256
    assert larger.image_size == vit.image_size == 160
    for name in (VIT, CONVNEXT):
        any_shape = load_backbone(name, "layer4", "random", 0, any_shape=True)
        network = build_network(any_shape, CPU, torch.float32)
        with torch.inference_mode():
            grid, _ = network(photos(1, 150)[:, :70])
        assert grid.shape == (1, 196, any_shape.channels)


def test_a_size_that_the_model_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*images: Any, **options: Any) -> None:
        raise AssertionError("Input height (81) doesn't match model (160).")

    monkeypatch.setattr("timm.models.VisionTransformer.forward_intermediates", refuse)
    with pytest.raises(InputError, match=r"any shape up to 160 pixels .*81.* its own size is 160"):
        load_backbone(VIT, "layer4", "random", 0, any_shape=True)


def test_random_weights_are_a_function_of_the_seed(vit: Backbone) -> None:
    again, other = (load_backbone(VIT, "layer4", "random", seed) for seed in (0, 1))
    assert vit.weights == "random(seed=0, timm)"
    assert again.weights_sha256 == vit.weights_sha256 != other.weights_sha256


def test_a_file_has_the_weights_with_or_without_a_classifier(tmp_path: Path, vit: Backbone) -> None:
    model = timm.create_model("test_vit", num_classes=7)
    model.load_state_dict(vit.network.model.state_dict(), strict=False)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "mine.pth")
    loaded = load_backbone(VIT, "layer4", str(tmp_path / "mine.pth"), 0)
    assert loaded.weights == "mine.pth"
    assert loaded.weights_sha256 == vit.weights_sha256


def test_weights_of_another_encoder_are_refused(tmp_path: Path, convnext: Backbone) -> None:
    path = tmp_path / "other.pth"
    torch.save(convnext.network.model.state_dict(), path)
    with pytest.raises(InputError, match=r"does not fit the backbone: \d+ missing .*\d+ unknown"):
        load_backbone(VIT, "layer4", str(path), 0)
    with pytest.raises(InputError, match="no such file"):
        load_backbone(VIT, "layer4", str(tmp_path / "none.pth"), 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:test_vif", r"no model 'test_vif'; did you mean test_vit"),
        ("timm:qqqqqqqq", r"no model 'qqqqqqqq'; timm\.list_models"),
        ("timm:test_vit.mine", r"test_vit has no weights 'mine'; expected test_vit\.r160_in1k"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(name, "layer4", "random", 0)


def test_without_timm_its_absence_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="needs the package timm; run pip install timm"):
        load_backbone(VIT, "layer4", "random", 0)


def test_offline_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **options: Any) -> None:
        raise OSError("no connection\nand more")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        InputError, match=r"could not be loaded \(no connection\); .*--weights FILE"
    ):
        load_backbone(VIT, "layer4", "imagenet", 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: beside three photos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FROSTGRID_WEIGHTS", raising=False)
    (tmp_path / "p").mkdir()
    for i in range(3):
        Image.fromarray(photos(1, 40)[0].numpy()).save(tmp_path / "p" / f"{i}.png")
    return tmp_path


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(featurize, words)
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_records_the_encoder_and_prediction_rebuilds_it(
    folder: Path, vit: Backbone
) -> None:
    output = call("p", "--backbone", VIT, "--weights", "random", "--amp", "off")
    assert "timm:test_vit, layer4 at 160 pixels, squash; weights random(seed=0, timm)" in output
    features = open_features(Path("features/p-timm-test_vit.h5"))
    facts = features.provenance
    assert facts["backbone"] == VIT
    assert facts["image_size"] == 160
    assert facts["pooling"] == "class token"
    assert facts["mean"] == list(vit.mean)
    assert "timm" in facts["versions"]
    again = rebuild(features.identity(), None)
    assert again.weights_sha256 == facts["weights_sha256"] == vit.weights_sha256
    network = build_network(again, CPU, torch.float32, torch.float16)
    with Image.open("p/0.png") as image, torch.inference_mode():
        pixels = np.asarray(image.resize((160, 160), Image.Resampling.BILINEAR))
        grid, _ = network(torch.tensor(pixels)[None])
    np.testing.assert_allclose(features.grid[0], grid[0], rtol=1e-2, atol=1e-3)
    with pytest.raises(InputError, match="finetune layer4 is for torchvision's ResNets"):
        check_features("f.h5", features.identity(), "layer4")


def test_what_an_encoder_cannot_do_is_said(folder: Path) -> None:
    words = ("p", "--backbone", VIT, "--weights", "random")
    assert "never negative, and those of timm:test_vit may be" in call(
        *words, "--dtype", "uint8", code=1
    )
    assert "'resnet18', 'resnet34'" in call("p", "--backbone", "timm:", code=2)
    assert "timm:NAME" in call("--help")


def test_native_shapes_by_the_command(folder: Path) -> None:
    Image.new("RGB", (90, 50)).save(folder / "p" / "3.png")
    call("p", "--backbone", CONVNEXT, "--weights", "random", "--crop", "native")
    features = open_features(Path("features/p-timm-test_convnext.h5"))
    assert features.provenance["crop"] == "native"
    assert features.is_complete
    assert features.grid.shape[1] == 196


def test_a_files_default_name_says_the_backbone() -> None:
    assert backbone_of("timm-vit_tiny.a-native") == "timm:vit_tiny.a"
    assert backbone_of("resnet18-layer3-native") == "resnet18"
