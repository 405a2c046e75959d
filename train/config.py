"""All that a training run is told."""

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """How the weights move."""

    epochs: int = 12
    batch_size: int = 512  # questions, or captions, in one forward pass, of all processes together
    texts_per_image: int = 0  # that are drawn together, at most; 0: all that it has
    accumulate: int = 1  # forward passes to one update
    lr: float = 1e-3  # Adam's step at its highest
    encoder_lr: float = 1e-4  # the same for the encoder, where one learns
    flip: bool = False  # whether half of the images, at random, are mirrored before the encoder
    warmup: float = 0.05  # share of all updates in which the step rises from 0
    schedule: str = "cosine"  # to 0 at the last update; or "constant"
    clip: float = 1.0  # largest norm of the gradient; 0 leaves it alone
    weight_decay: float = 0.0  # decoupled (AdamW)
    patience: int = 5  # epochs without a better score before it stops; 0 never stops
    loss: str = "soft"  # answers weighed by how many people gave them; or "commonest" of the ten
    attention_penalty: float = 0.0  # alpha_c: captions shall look at every cell once, in sum
    choose: str = "score"  # what picks the best epoch: the task's score, or of captions "cider"
    smooth: float = 0.0  # the share of the epochs before in what picks the best one


@dataclass(frozen=True)
class RunConfig:
    """One training run, as ``config.json`` keeps it."""

    head: str
    task: str
    data: str  # a data set's name, or its folder
    split: str  # that it validates on
    features: list[str]  # feature files
    recipe: str
    seed: int
    amp: str  # "auto" or "off"
    kernels: str  # "auto" or "plain"
    head_settings: dict[str, Any]
    data_settings: dict[str, Any]
    optimisation: Optimisation
    feature_identity: dict[str, Any] = field(default_factory=dict)
    order: str = "auto"  # of the images in an epoch: "full", "local", or as their size demands
    follow: list[str] = field(default_factory=list)  # optimisation that follows the set's size
    finetune: str | None = None  # the backbone's block that learns with the head: "layer4"

    @staticmethod
    def of_fields(fields: dict[str, Any]) -> "RunConfig":
        """What ``asdict`` took apart."""
        rest = dict(fields)
        return RunConfig(optimisation=Optimisation(**rest.pop("optimisation")), **rest)

    def with_overrides(self, **changes: Any) -> "RunConfig":
        """The same run with other optimisation settings where a value is given."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, optimisation=replace(self.optimisation, **given))


def check_optimisation(o: Optimisation) -> None:
    """Raise ``InputError`` for a value that no training can use."""
    for name in ("epochs", "batch_size", "accumulate"):
        if getattr(o, name) < 1:
            raise InputError(f"{name} is {getattr(o, name)}; it must be at least 1.")
    if o.texts_per_image < 0:
        raise InputError(f"texts_per_image is {o.texts_per_image}; it must be at least 0 (all).")
    if not o.lr > 0:
        raise InputError(f"The learning rate is {o.lr}; it must be above 0, 0.001 for example.")
    if not o.encoder_lr >= 0:
        raise InputError(
            f"The encoder's learning rate is {o.encoder_lr}; it must be at least 0, 0.0001 for "
            "example."
        )
