"""Name to frozen network, with its weights and their hash: torchvision's ResNets, or timm's."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from ..errors import InputError
from .choices import is_timm
from .encoders.random_weights import RECIPE, calibrate
from .encoders.state_dicts import STAGES, load_state
from .encoders.timm_encoders import build_encoder
from .encoders.weight_files import hash_state, read_weights
from .images import MEAN, STD

STRIDE = {"layer4": 32, "layer3": 16}


def native_grid(layer: str, image_size: int) -> tuple[int, int]:
    """Rows and columns of a layer's feature map for a square image."""
    side = -(-image_size // STRIDE[layer])  # each stride of 2 rounds up
    return side, side


@dataclass(frozen=True)
class Backbone:
    """A frozen network: images [B, 3, H, W] to feature maps [B, D, h, w].

    Attributes:
        name: one of ``choices.BACKBONES``, or ``timm:NAME``.
        layer: the last stage kept, one of ``choices.LAYERS``.
        network: float32, evaluating, without gradients: a truncated ResNet, or a ``TimmEncoder``,
            which returns the model's own pooled vector too.
        channels: D.
        weights: the origin of the weights: torchvision's enum member, ``timm/NAME.TAG``,
            ``random(seed=0, …)`` or a file's name.
        weights_sha256: ``hash_state`` of them.
        mean, std: per channel, that images from 0 to 1 are normalised with.
        pooling: how ``pooled`` comes about, in words.
        image_size: the side of the images that it was trained on, pixels; None for a ResNet, which
            takes any.
        own_grid: rows and columns of its cells of an image of the size asked for; None for a
            ResNet (``native_grid``).
    """

    name: str
    layer: str
    network: nn.Module
    channels: int
    weights: str
    weights_sha256: str
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    pooling: str = "mean of the cells"
    image_size: int | None = None
    own_grid: tuple[int, int] | None = None

    @property
    def is_resnet(self) -> bool:
        """Whether it is one of torchvision's, whose features are never negative."""
        return self.image_size is None

    def native_grid(self, image_size: int) -> tuple[int, int]:
        """Rows and columns of its cells of a square image."""
        return self.own_grid or native_grid(self.layer, image_size)


def load_backbone(
    name: str,
    layer: str,
    weights: str,
    seed: int,
    image_size: int | None = None,
    any_shape: bool = False,
) -> Backbone:
    """Build a backbone with ``imagenet``, ``random`` (from ``seed``) or a file's weights.

    For an encoder of timm ``imagenet`` stands for timm's own weights; ``image_size`` is the side of
    the images to come if it is not the encoder's, and ``any_shape`` says that they are no squares.
    Raises ``InputError`` if the weights cannot be loaded or do not fit.
    """
    if is_timm(name):
        encoder, origin = build_encoder(name, weights, seed, layer)
        sha256 = hash_state(encoder.model.state_dict())  # before another size changes positions
        seen = encoder.fit(name, image_size, any_shape)
        return Backbone(
            name,
            layer,
            encoder,
            channels=seen.channels,
            weights=origin,
            weights_sha256=sha256,
            mean=encoder.mean,
            std=encoder.std,
            pooling=seen.pooling,
            image_size=encoder.image_size,
            own_grid=seen.grid,
        )
    resnet, origin = build_resnet(name, weights, seed, layer)
    network = nn.Sequential()
    for stage in STAGES[: STAGES.index(layer) + 1]:
        network.add_module(stage, getattr(resnet, stage))
    network.eval().requires_grad_(False)
    channels = channels_of(getattr(network, layer))
    return Backbone(name, layer, network, channels, origin, hash_state(resnet.state_dict()))


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
