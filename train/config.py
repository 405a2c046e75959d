"""All that a training run is told, and the recipes that fill it in."""

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Optimisation:
    """How the weights move."""

    epochs: int = 12
    batch_size: int = 512  # questions, or captions, in one forward pass; whole images at a time
    accumulate: int = 1  # forward passes to one update
    lr: float = 1e-3  # Adam's step at its highest
    warmup: float = 0.05  # share of all updates in which the step rises from 0
    schedule: str = "cosine"  # to 0 at the last update; or "constant"
    clip: float = 1.0  # largest norm of the gradient; 0 leaves it alone
    weight_decay: float = 0.0  # decoupled (AdamW)
    patience: int = 5  # epochs without a better score before it stops; 0 never stops
    loss: str = "soft"  # answers weighed by how many people gave them; or "commonest" of the ten
    attention_penalty: float = 0.0  # alpha_c: captions shall look at every cell once, in sum


@dataclass(frozen=True)
class Recipe:
    """A head's own sizes (fields of its config) and how it is trained."""

    head: dict[str, Any] = field(default_factory=dict)
    optimisation: Optimisation = field(default_factory=Optimisation)


# The first report's settings: no standardised cells, no dropout, cross-entropy on the commonest
# answer. Mended: the gate acts before the pooling, the LSTM's state is that of the last word, and
# the stacked attention has its tanh.
_REPORT_VQA = Optimisation(
    epochs=15,
    batch_size=512,
    warmup=0.0,
    schedule="constant",
    clip=0.0,
    patience=0,
    loss="commonest",
)
_REPORT_HEAD: dict[str, Any] = {
    "embedding": 512,
    "hidden": 512,
    "classifier": 1024,
    "dropout": 0.0,
    "fusion": "concat",
    "standardize": False,
    "question": "mean",
}

_CAPTION = Optimisation(
    epochs=12, batch_size=100, lr=1e-3, clip=5.0, patience=4, attention_penalty=0.0
)
_CAPTION_HEAD: dict[str, Any] = {"word_dropout": 0.3}
# The second report's settings.
_REPORT_CAPTION = Optimisation(
    epochs=10,
    batch_size=32,
    accumulate=2,
    lr=4e-4,
    warmup=0.0,
    schedule="constant",
    clip=5.0,
    patience=3,
)
_REPORT_CAPTION_HEAD: dict[str, Any] = {
    "embedding": 512,
    "hidden": 512,
    "attention": 512,
    "dropout": 0.5,
    "standardize": False,
}

RECIPES: dict[str, dict[str, Recipe]] = {
    "default": {
        "question-only": Recipe(),
        "mean-embed": Recipe(),
        "lstm": Recipe(),
        "question-attention": Recipe(),
        "san": Recipe(),
        "rnn-decoder": Recipe(_CAPTION_HEAD, _CAPTION),
        "show-attend-tell": Recipe(_CAPTION_HEAD, replace(_CAPTION, attention_penalty=1.0)),
        "up-down": Recipe({**_CAPTION_HEAD, "sampling": 0.1}, _CAPTION),
    },
    "report": {
        "question-only": Recipe(_REPORT_HEAD, _REPORT_VQA),
        "mean-embed": Recipe(_REPORT_HEAD, _REPORT_VQA),
        "lstm": Recipe({**_REPORT_HEAD, "question": "lstm"}, _REPORT_VQA),
        "question-attention": Recipe({**_REPORT_HEAD, "question": "lstm"}, _REPORT_VQA),
        "san": Recipe({**_REPORT_HEAD, "fusion": "add", "attention": 128, "hops": 1}, _REPORT_VQA),
    },
}


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

    def with_overrides(self, **changes: Any) -> "RunConfig":
        """The same run with other optimisation settings where a value is given."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, optimisation=replace(self.optimisation, **given))


def check_optimisation(o: Optimisation) -> None:
    """Raise ``InputError`` for a value that no training can use."""
    for name in ("epochs", "batch_size", "accumulate"):
        if getattr(o, name) < 1:
            raise InputError(f"{name} is {getattr(o, name)}; it must be at least 1.")
    if not o.lr > 0:
        raise InputError(f"The learning rate is {o.lr}; it must be above 0, 0.001 for example.")
