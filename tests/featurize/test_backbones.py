from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from frostgrid.errors import InputError
from frostgrid.featurize.backbones import hash_state, load_backbone
from frostgrid.featurize.choices import BACKBONES
from frostgrid.featurize.images import MEAN, PADDING, STD
from frostgrid.featurize.network import build_network, fold_batch_norm
from safetensors.torch import save_file
from torch import nn

CPU = torch.device("cpu")


def trained_like(name: str) -> nn.Module:
    """A ResNet whose batch norms hold statistics that an identity would not equal."""
    torch.manual_seed(1)
    resnet = getattr(torchvision.models, name)(weights=None)
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return resnet.eval()


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return trained_like("resnet18")


@pytest.fixture(scope="module")
def weights(resnet: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "r18.pth"
    torch.save(resnet.state_dict(), path)
    return path


def test_random_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (load_backbone("resnet18", "layer3", "random", s) for s in (3, 3, 4))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.weights.startswith("random(seed=3")
    assert (first.channels, load_backbone("resnet50", "layer3", "random", 0).channels) == (
        256,
        1024,
    )


def test_random_weights_do_not_depend_on_the_number_of_threads() -> None:
    hashes = set()
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        hashes.add(load_backbone("resnet18", "layer3", "random", 0).weights_sha256)
    torch.set_num_threads(1)
    assert len(hashes) == 1


def test_random_features_differ_between_images_and_fit_float16() -> None:
    network = build_network(load_backbone("resnet50", "layer4", "random", 0), CPU, torch.float32)
    images = torch.zeros((2, 96, 96, 3), dtype=torch.uint8)
    images[0, 20:60, 30:70, 0] = 255
    images[1, 50:80, 10:40, 2] = 255
    with torch.inference_mode():
        grid, pooled = network(images)
    assert grid.max() < 100
    assert nn.functional.cosine_similarity(pooled[0], pooled[1], dim=0) < 0.995


def test_random_weights_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_backbone("resnet18", "layer3", "random", 0)
    assert torch.equal(torch.rand(3), expected)


def test_file_formats_prefixes_and_classifiers_do_not_matter(
    resnet: nn.Module, weights: Path, tmp_path: Path
) -> None:
    state = resnet.state_dict()
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "wrapped.pt")
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    save_file(bare, tmp_path / "bare.safetensors")
    other_classes = {**state, "fc.weight": torch.zeros(3, 512), "fc.bias": torch.zeros(3)}
    torch.save(other_classes, tmp_path / "three.pth")
    files = [weights, *(tmp_path / n for n in ("wrapped.pt", "bare.safetensors", "three.pth"))]
    hashes = {load_backbone("resnet18", "layer4", str(f), 0).weights_sha256 for f in files}
    assert hashes == {hash_state(state)}


def test_hash_sees_every_value(resnet: nn.Module) -> None:
    state = dict(resnet.state_dict())
    state["bn1.running_var"] = state["bn1.running_var"].clone()
    state["bn1.running_var"][7] += 1e-4
    assert hash_state(state) != hash_state(resnet.state_dict())


def test_weights_of_another_backbone_name_the_keys(weights: Path) -> None:
    with pytest.raises(InputError, match=r"r18.pth: does not fit .* missing \(layer1.2.bn1"):
        load_backbone("resnet34", "layer4", str(weights), 0)
    with pytest.raises(InputError, match="of a different shape"):
        load_backbone("resnet50", "layer4", str(weights), 0)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no such file; expected 'imagenet', 'random' or a weights file"
    ):
        load_backbone("resnet18", "layer4", "imagnet", 0)
    (tmp_path / "a.pth").write_text("hello")
    with pytest.raises(InputError, match="not a readable weights file"):
        load_backbone("resnet18", "layer4", str(tmp_path / "a.pth"), 0)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        load_backbone("resnet18", "layer4", str(tmp_path / "list.pth"), 0)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled!",)


def test_nothing_is_unpickled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"weights file \(it is damaged, or holds more than"):
        load_backbone("resnet18", "layer4", str(tmp_path / "evil.pth"), 0)
    assert "unpickled!" not in capsys.readouterr().out


def test_offline_is_one_sentence_with_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **how: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fail)
    with pytest.raises(InputError, match=r"resnet18-f37072fd.pth.*--weights random") as error:
        load_backbone("resnet18", "layer4", "imagenet", 0)
    assert "\n" not in str(error.value)


def test_imagenet_weights_are_torchvisions_own(
    resnet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def answer(member: object, **how: object) -> dict[str, torch.Tensor]:
        asked.update(how)
        return resnet.state_dict()

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", answer)
    backbone = load_backbone("resnet18", "layer4", "imagenet", 0)
    assert backbone.weights == "ResNet18_Weights.IMAGENET1K_V1"
    assert asked["check_hash"] is True


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize(("layer", "size"), [("layer4", 448), ("layer3", 224)])
def test_features_equal_torchvisions_own(name: str, layer: str, size: int, tmp_path: Path) -> None:
    resnet = trained_like(name)
    torch.save(resnet.state_dict(), tmp_path / "w.pth")
    network = build_network(
        load_backbone(name, layer, str(tmp_path / "w.pth"), 0), CPU, torch.float32
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8, generator=generator)
    caught = {}
    getattr(resnet, layer).register_forward_hook(lambda m, i, output: caught.update(cells=output))
    scaled = images.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        resnet((scaled - mean) / std)
        grid, pooled = network(images)
    cells = caught["cells"]  # [1, D, 14, 14]
    assert grid.shape == (1, 196, cells.shape[1])
    torch.testing.assert_close(grid[0], cells[0].flatten(1).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pooled, cells.mean((2, 3)), rtol=1e-4, atol=1e-4)
    assert grid.is_contiguous()


def test_other_sizes_are_averaged_to_the_grid(weights: Path) -> None:
    backbone = load_backbone("resnet18", "layer4", str(weights), 0)
    network = build_network(backbone, CPU, torch.float32)
    images = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        grid, pooled = network(images)
        cells = network.network((images.permute(0, 3, 1, 2) - network.mean) / network.std)
    assert cells.shape == (2, 512, 3, 3)
    torch.testing.assert_close(pooled, cells.mean((2, 3)))
    # The corners of the 14 × 14 are cells of the 3 × 3.
    torch.testing.assert_close(grid[:, [0, 13, 182, 195]], cells[:, :, ::2, ::2].flatten(2).mT)


def test_padding_is_nearly_zero_after_normalisation() -> None:
    for colour, mean, std in zip(PADDING, MEAN, STD, strict=True):
        assert abs(colour / 255 - mean) / std < 0.01


@pytest.mark.parametrize("name", BACKBONES)
def test_folding_leaves_no_batch_norm(name: str) -> None:
    with torch.device("meta"):
        resnet = getattr(torchvision.models, name)(weights=None).eval()
    folded = nn.Sequential(resnet.conv1, resnet.bn1, resnet.layer1, resnet.layer4)
    fold_batch_norm(folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_bfloat16_stays_close(weights: Path) -> None:
    backbone = load_backbone("resnet18", "layer4", str(weights), 0)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        exact, _ = build_network(backbone, CPU, torch.float32)(images)
        rough, _ = build_network(backbone, CPU, torch.bfloat16, torch.float16)(images)
    assert rough.dtype == torch.float16
    assert (rough - exact).norm() / exact.norm() < 0.03
