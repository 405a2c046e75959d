"""Weights as files hold them: shortened, folded, under prefixes."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from frostgrid.errors import InputError
from frostgrid.featurize.backbones import hash_state, load_backbone
from frostgrid.featurize.rebuild import rebuild
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(1)
    resnet = torchvision.models.resnet18(weights=None)
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.2, 0.6)
    return dict(resnet.state_dict())


def shortened(state: State, *stages: str) -> State:
    """Without these stages and the classifier."""
    return {n: t for n, t in state.items() if not n.startswith((*stages, "fc"))}


def folded(state: State) -> State:
    """Every batch norm in its convolution, and gone."""
    result = {}
    for name, tensor in state.items():
        if tensor.dim() == 4:
            convolution = name.removesuffix(".weight")
            shortcut = convolution.endswith("downsample.0")
            norm = f"{convolution[:-1]}1" if shortcut else convolution.replace("conv", "bn")
            keys = "running_mean", "running_var", "weight", "bias"
            mean, variance, scale, offset = (state[f"{norm}.{key}"] for key in keys)
            weight, bias = fuse_conv_bn_weights(tensor, None, mean, variance, 1e-5, scale, offset)
            result |= {name: weight.detach(), f"{convolution}.bias": bias.detach()}
    return result


def cells(path: Path, state: dict[str, Any]) -> Tensor:
    """layer3 of two images, with these weights."""
    torch.save(state, path)
    network = load_backbone("resnet18", "layer3", str(path), 0).network
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return network(images)


def test_a_file_may_end_where_features_are_taken(state: State, tmp_path: Path) -> None:
    whole = cells(tmp_path / "whole.pth", state)
    short = shortened(state, "layer4")
    assert torch.equal(cells(tmp_path / "short.pth", short), whole)
    half = {name: t.half() if t.dim() == 4 else t for name, t in short.items()}
    torch.testing.assert_close(cells(tmp_path / "half.pth", half), whole, rtol=1e-2, atol=1e-2)


def test_folded_batch_norms_give_the_same_cells(state: State, tmp_path: Path) -> None:
    whole = cells(tmp_path / "whole.pth", state)
    plain = folded(shortened(state, "layer4"))
    assert not any("bn" in name for name in plain)
    torch.testing.assert_close(cells(tmp_path / "folded.pth", plain), whole)


@pytest.mark.parametrize("prefix", ["backbone.", "module.encoder.", "resnet.", "model.net."])
def test_prefixes_are_found(state: State, tmp_path: Path, prefix: str) -> None:
    wrapped = {f"{prefix}{name}": t for name, t in shortened(state, "layer4").items()}
    wrapped["decoder.lstm.weight"] = torch.zeros(3)
    whole = cells(tmp_path / "whole.pth", state)
    assert torch.equal(cells(tmp_path / "wrapped.pth", wrapped), whole)


def test_positions_in_a_sequential_are_names_too(state: State, tmp_path: Path) -> None:
    positions = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6}
    numbered = {}
    for name, tensor in shortened(state, "layer4").items():
        stage, _, rest = name.partition(".")
        numbered[f"cnn.{positions[stage]}.{rest}"] = tensor
    whole = cells(tmp_path / "whole.pth", state)
    assert torch.equal(cells(tmp_path / "numbered.pth", {"model": numbered}), whole)


def test_what_is_missing_is_named_by_meaning(state: State, tmp_path: Path) -> None:
    def refuse(kept: State, message: str) -> None:
        torch.save(kept, tmp_path / "w.pth")
        with pytest.raises(InputError, match=message):
            load_backbone("resnet18", "layer3", str(tmp_path / "w.pth"), 0)

    refuse(shortened(state, "layer3", "layer4"), "layer3 is missing: the file ends after layer2")
    refuse(shortened(state, "layer2"), "layer2 is missing: the file goes on to layer4 without it")
    refuse({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "holds none of a ResNet's layers")
    refuse({}, "holds none of a ResNet's layers")
    two = {f"{side}.{n}": t for side in "qk" for n, t in shortened(state, "layer4").items()}
    refuse(two, r"holds 2 networks, under q\. and k\.; save one of them alone")
    less = {n: t for n, t in shortened(state, "layer4").items() if n != "layer2.1.bn1.bias"}
    refuse(less, r"does not fit the backbone: 1 missing \(layer2.1.bn1.bias\)")


def test_hash_of_a_shortened_network_covers_what_it_holds(state: State, tmp_path: Path) -> None:
    path = tmp_path / "short.pth"
    torch.save(shortened(state, "layer4"), path)
    short = load_backbone("resnet18", "layer3", str(path), 0)
    assert short.weights_sha256 == hash_state(shortened(state, "layer4"))
    identity = {
        "backbone": "resnet18",
        "layer": "layer3",
        "weights": path.name,
        "weights_sha256": short.weights_sha256,
        "image_size": 224,
        "crop": "squash",
    }
    assert rebuild(identity, str(path)).channels == 256
    with pytest.raises(InputError, match="layer4 is missing: the file ends after layer3"):
        rebuild(identity, str(path), "layer4")
    changed = shortened(state, "layer4")
    changed["layer3.1.bn2.bias"] = changed["layer3.1.bn2.bias"] + 1e-3
    torch.save(changed, path)
    with pytest.raises(InputError, match="these are other weights"):
        rebuild(identity, str(path))
