"""timm's encoders (ConvNeXt, ViT, CLIP, SigLIP, DINOv2, …) as frozen networks that return cells."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError
from ..choices import TIMM
from .state_dicts import affects_features, check_fit
from .weight_files import read_weights

# How many stages before the end it is, counted from 1; a ViT's stages are its blocks.
FROM_END = {"layer4": 1, "layer3": 2}
# How models pool that have a vector of their own, and what it is.
POOLING = {"token": "class token", "map": "attention pooling"}


@dataclass(frozen=True)
class Seen:
    """What an encoder returns: D, rows and columns of cells, and how ``pooled`` comes about."""

    channels: int
    grid: tuple[int, int]
    pooling: str


class TimmEncoder(nn.Module):
    """Images [B, 3, H, W] to cells [B, D, h, w] and, where the model has its own, pooled [B, D].

    Cells are the last stage's feature map or patch tokens, after the model's final norm, or with
    ``layer3`` those of the stage before (of a ViT its last block but one), as they are. The pooled
    vector is the class token, or what attention pooling gives; None where the model averages, or
    pools to another width than D.

    Attributes:
        mean, std: per channel, of pixels from 0 to 1.
        image_size: the side of the images that the model was trained on, pixels.
    """

    def __init__(self, model: Any, layer: str, data: dict[str, Any]) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.from_end = FROM_END[layer]
        kind = getattr(model, "global_pool", None)
        self.pooling = POOLING.get(str(kind)) if self.from_end == 1 else None
        self.mean, self.std = tuple(data["mean"]), tuple(data["std"])
        self.image_size: int = data["input_size"][-1]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See the class."""
        found = self.model.forward_intermediates(
            images,
            indices=self.from_end,
            norm=self.from_end == 1,
            stop_early=self.pooling is None,
            intermediates_only=self.pooling is None,
        )
        if self.pooling is None:
            return found[0], None
        final, (cells,) = found
        pooled: Tensor = self.model.forward_head(final, pre_logits=True)
        return cells, pooled if pooled.shape == cells.shape[:2] else None

    def fit(self, name: str, image_size: int | None, any_shape: bool) -> Seen:
        """Make ready for images of a size, or of any shape; raises ``InputError`` if it cannot be.

        One blank image is run, for not all models say what they take.
        """
        side = image_size or self.image_size
        resize: Callable[..., None] | None = getattr(self.model, "set_input_size", None)
        try:
            if resize is not None and side != self.image_size and not any_shape:
                resize(img_size=(side, side))
            shape = (side // 2 + 1, side) if any_shape else (side, side)
            with torch.inference_mode():
                cells, pooled = self(torch.zeros(1, 3, *shape))
        except Exception as error:  # each model has its own way to refuse a size
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"--backbone {name}: cannot be run on images of {shape_words(side, any_shape)} "
                f"({reason}); its own size is {self.image_size}: leave --image-size"
                f"{' and --crop native' if any_shape else ''} out, or choose another encoder."
            ) from error
        own = self.pooling if pooled is not None else None
        return Seen(cells.shape[1], (cells.shape[2], cells.shape[3]), own or "mean of the cells")


def shape_words(side: int, any_shape: bool) -> str:
    """The images that are to come, in words."""
    return f"any shape up to {side} pixels" if any_shape else f"{side}x{side} pixels"


def build_encoder(name: str, weights: str, seed: int, layer: str) -> tuple[TimmEncoder, str]:
    """The encoder ``timm:NAME`` and the origin of its weights in words.

    ``weights``: ``imagenet`` for timm's own, ``random`` (from ``seed``) or a file. Raises
    ``InputError`` if there is no such model, or the weights cannot be loaded or do not fit.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"--backbone {name}: needs the package timm; run pip install timm, or choose a ResNet."
        ) from error
    short = name.removeprefix(TIMM)
    check_name(timm, short)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create(timm, name, pretrained=weights == "imagenet")
    if weights == "imagenet":
        config = model.pretrained_cfg
        origin = f"timm/{config['architecture']}.{config['tag']}".removesuffix(".")
    elif weights == "random":
        origin = f"random(seed={seed}, timm)"
    else:
        load_file(model, weights)
        origin = Path(weights).name
    return TimmEncoder(model, layer, model.pretrained_cfg), origin


def check_name(timm: Any, name: str) -> None:
    """Raise ``InputError`` with similar names unless timm has this architecture and tag."""
    architecture, _, tag = name.partition(".")
    known: list[str] = timm.list_models()
    if not timm.is_model(architecture):
        similar = get_close_matches(architecture, known, 3)
        hint = f"did you mean {' or '.join(similar)}? " if similar else ""
        raise InputError(
            f"--backbone timm:{name}: timm {timm.__version__} has no model {architecture!r}; {hint}"
            "timm.list_models() in Python lists them."
        )
    tags: list[str] = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tags:
        raise InputError(
            f"--backbone timm:{name}: {architecture} has no weights {tag!r}; expected "
            f"{', '.join(tags) or 'no tag, since timm has none for it'}."
        )


def create(timm: Any, name: str, pretrained: bool) -> Any:
    """timm's model without its classifier; a ViT takes images of any shape."""
    options = {"num_classes": 0, "pretrained": pretrained}
    short = name.removeprefix(TIMM)
    try:
        try:
            return timm.create_model(short, dynamic_img_size=True, dynamic_img_pad=True, **options)
        except TypeError:  # of a model that has no position embeddings, or no such options
            return timm.create_model(short, **options)
    except Exception as error:  # timm and its hub raise many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = (
            "download them elsewhere (huggingface.co/timm has them under this name) and give "
            "--weights FILE, or try everything with --weights random"
            if pretrained
            else "choose another encoder"
        )
        what = "timm's weights could not be loaded" if pretrained else "could not be built"
        raise InputError(f"--backbone {name}: {what} ({reason}); {remedy}.") from error


def load_file(model: Any, weights: str) -> None:
    """Copy a file's weights into the model, if need be from other names that timm knows.

    A classifier in the file is left out. Raises ``InputError`` if they are not the model's.
    """
    own = {name: t for name, t in model.state_dict().items() if affects_features(name)}
    classifier = model.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)

    def features(state: dict[str, Tensor]) -> dict[str, Tensor]:
        ends = tuple(f"{head}." for head in heads)
        return {n: t for n, t in state.items() if affects_features(n) and not n.startswith(ends)}

    state = features(read_weights(Path(weights)))
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if state.keys() != own.keys() and rename is not None:
        with suppress(Exception):  # at names that it does not expect; ``check_fit`` says which
            state = features(dict(rename(state, model)))
    check_fit(own, state, weights)
    model.load_state_dict(state, strict=False)
