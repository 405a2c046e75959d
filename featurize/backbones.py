"""Name to truncated torchvision ResNet, with its weights and their hash."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from ..errors import InputError
from .random_weights import RECIPE, calibrate
from .state_dicts import STAGES, affects_features, load_state

STRIDE = {"layer4": 32, "layer3": 16}


def native_grid(layer: str, image_size: int) -> tuple[int, int]:
    """Rows and columns of a layer's feature map for a square image."""
    side = -(-image_size // STRIDE[layer])  # each stride of 2 rounds up
    return side, side


@dataclass(frozen=True)
class Backbone:
    """A frozen network: images [B, 3, H, W] to feature maps [B, D, H / stride, W / stride].

    Attributes:
        name: one of ``choices.BACKBONES``.
        layer: the last stage kept, one of ``choices.LAYERS``.
        network: the truncated ResNet, float32, in evaluation mode, no gradients.
        channels: D.
        weights: the origin of the weights: torchvision's enum member, ``random(seed=0, …)`` or a
            file's name.
        weights_sha256: ``hash_state`` of them.
    """

    name: str
    layer: str
    network: nn.Sequential
    channels: int
    weights: str
    weights_sha256: str


def load_backbone(name: str, layer: str, weights: str, seed: int) -> Backbone:
    """Build a backbone with ``imagenet``, ``random`` (from ``seed``) or a file's weights.

    Raises ``InputError`` if the weights cannot be loaded or do not fit.
    """
    resnet, origin = build_resnet(name, weights, seed, layer)
    network = nn.Sequential()
    for stage in STAGES[: STAGES.index(layer) + 1]:
        network.add_module(stage, getattr(resnet, stage))
    network.eval().requires_grad_(False)
    state = resnet.state_dict()
    channels = channels_of(getattr(network, layer))
    return Backbone(name, layer, network, channels, origin, hash_state(state))


def channels_of(stage: nn.Module) -> int:
    """D, the channels that a stage returns: those of its last batch norm."""
    *_, last = (module for module in stage.modules() if isinstance(module, nn.BatchNorm2d))
    return last.num_features


def blank_stage(name: str, layer: str) -> nn.Module:
    """One stage of a backbone, its weights uninitialised: the caller loads them."""
    build: Callable[..., nn.Module] = getattr(torchvision.models, name)
    with torch.device("meta"):
        stage: nn.Module = getattr(build(weights=None), layer)
    return stage.to_empty(device="cpu")


def build_resnet(
    name: str, weights: str, seed: int, layer: str = "layer4"
) -> tuple[nn.Module, str]:
    """A torchvision ResNet, and the origin of its weights in words.

    A file may end after ``layer``; the stages that it lacks are taken out of the network.
    """
    build: Callable[..., nn.Module] = getattr(torchvision.models, name)
    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            resnet = build(weights=None)
        calibrate(resnet)
        return resnet, f"random(seed={seed}, {RECIPE})"
    resnet = build(weights=None)
    if weights == "imagenet":
        state, origin = download_imagenet(name)
    else:
        state, origin = read_weights(Path(weights)), Path(weights).name
    load_state(resnet, state, weights, layer)
    return resnet, origin


def download_imagenet(name: str) -> tuple[dict[str, Tensor], str]:
    """torchvision's first ImageNet weights, as in the published baselines; checksum checked."""
    member = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    try:
        return member.get_state_dict(progress=sys.stderr.isatty(), check_hash=True), str(member)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"The ImageNet weights of {name} could not be downloaded from {member.url} ({error}); "
            f"download that file elsewhere and give --weights {Path(member.url).name}, or try "
            "everything with --weights random."
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a ``torch.save``d state dict (never unpickled)."""
    if not path.is_file():
        raise InputError(
            f"--weights {path}: no such file; expected 'imagenet', 'random' or a weights file."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for other files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, UnpicklingError):  # torch's message advises to unpickle it anyway
            reason = "it is damaged, or holds more than tensors"
        raise InputError(
            f"--weights {path}: is not a readable weights file ({reason}); expected a "
            "safetensors file or a torch.save'd state dict."
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise InputError(f"--weights {path}: holds no state dict (names and tensors).")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def hash_state(state: dict[str, Tensor]) -> str:
    """sha256 over the tensors that affect the features, sorted by name.

    Each is hashed as its name, ``\\0``, its shape as decimal numbers joined by ``x``, ``\\0``, and
    its values as little-endian float32, so the hash depends neither on the file format nor on the
    classifier. A network that ends earlier is hashed as far as it goes.
    """
    digest = hashlib.sha256()
    for name in sorted(filter(affects_features, state)):
        tensor = state[name].detach().cpu().float().contiguous()
        digest.update(f"{name}\0{'x'.join(map(str, tensor.shape))}\0".encode())
        digest.update(tensor.numpy().astype("<f4").tobytes())
    return digest.hexdigest()
