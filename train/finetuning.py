"""The block of the frozen network that a run lets learn, from a feature file's identity."""

from typing import Any

from ..errors import InputError
from ..featurize.backbones import blank_stage, native_grid
from ..featurize.choices import is_timm
from ..featurize.file.layout import GRID, IMPORTED, name_grid
from ..featurize.rebuild import rebuild
from ..models.finetuned import Encoder, GridShapes
from ..models.names import BEFORE


def check_features(path: str, identity: dict[str, Any], block: str) -> None:
    """Raise ``InputError`` for features that the block cannot go on from."""
    if is_timm(identity["backbone"]):
        raise InputError(
            f"{path}: was made by {identity['backbone']}, and --finetune {block} is for "
            "torchvision's ResNets; leave it out, or extract with one of those."
        )
    before, size = BEFORE[block], identity["image_size"]
    if identity["backbone"] == IMPORTED:
        raise InputError(
            f"{path}: was imported from others' features, and --finetune {block} goes on from a "
            "network that is known; extract your own by `featurize --layer layer3 --grid native`."
        )
    remedy = f"`featurize --backbone {identity['backbone']} --layer {before} --grid native`"
    if identity["layer"] != before:
        raise InputError(
            f"{path}: holds cells of {identity['layer']}, but --finetune {block} goes on from "
            f"those of {before}; make them by {remedy}."
        )
    native = name_grid(native_grid(before, size))
    if identity["crop"] == "native":
        raise InputError(
            f"{path}: was made with --crop native, whose images differ in shape, so its cells were "
            f"averaged, which --finetune {block} cannot undo; make them by {remedy}."
        )
    if identity["grid"] != native:
        raise InputError(
            f"{path}: its {native} cells of {before} were averaged to {identity['grid']}, which "
            f"--finetune {block} cannot undo; make them by {remedy}."
        )


def build_encoder(identity: dict[str, Any], block: str, pooled: bool, flip: bool) -> Encoder:
    """The encoder, its weights yet to be loaded."""
    stored = native_grid(BEFORE[block], identity["image_size"])
    stage = blank_stage(identity["backbone"], block)
    return Encoder(stage, GridShapes(stored, GRID), pooled, flip)


def load_pretrained(
    encoder: Encoder, identity: dict[str, Any], block: str, weights: str | None
) -> None:
    """Start the encoder from the weights that made the features; see ``rebuild``."""
    backbone = rebuild(identity, weights, block)
    encoder.block.load_state_dict(getattr(backbone.network, block).state_dict())


def describe_encoder(encoder: Encoder, identity: dict[str, Any], block: str, lr: float) -> str:
    """What learns beside the head, in words."""
    n = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    stored, seen = map(name_grid, encoder.shapes)
    own = name_grid(native_grid(block, identity["image_size"]))
    return (
        f"{block} of {identity['backbone']} learns, {n:,} parameters, lr {lr:g}; batch norms fixed;"
        f" {stored} cells of {BEFORE[block]} in, {own} out"
        + ("" if own == seen or encoder.pooled else f", averaged to {seen}")
    )
