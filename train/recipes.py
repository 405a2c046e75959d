"""Settings for every head: the best known ones, and those of the reports."""

from dataclasses import dataclass, field, replace
from typing import Any

from .config import Optimisation


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
    "whole": False,
}

# All five captions of an image at once teach little more than two of them.
_CAPTION = Optimisation(
    epochs=12,
    batch_size=100,
    texts_per_image=2,
    lr=1e-3,
    clip=5.0,
    patience=4,
    attention_penalty=0.0,
)
_CAPTION_HEAD: dict[str, Any] = {"word_dropout": 0.3}
# The second report's settings.
_REPORT_CAPTION = Optimisation(
    epochs=10,
    batch_size=32,
    texts_per_image=1,
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
        # It reads pooled features, of which copies cost nothing.
        "rnn-decoder": Recipe(_CAPTION_HEAD, replace(_CAPTION, texts_per_image=1)),
        "show-attend-tell": Recipe(_CAPTION_HEAD, replace(_CAPTION, attention_penalty=1.0)),
        "up-down": Recipe({**_CAPTION_HEAD, "sampling": 0.1}, _CAPTION),
    },
    "report": {
        "question-only": Recipe(_REPORT_HEAD, _REPORT_VQA),
        "mean-embed": Recipe(_REPORT_HEAD, _REPORT_VQA),
        "lstm": Recipe({**_REPORT_HEAD, "question": "lstm"}, _REPORT_VQA),
        "question-attention": Recipe({**_REPORT_HEAD, "question": "lstm"}, _REPORT_VQA),
        "san": Recipe({**_REPORT_HEAD, "fusion": "add", "attention": 128, "hops": 1}, _REPORT_VQA),
        "rnn-decoder": Recipe(_REPORT_CAPTION_HEAD, _REPORT_CAPTION),
        "show-attend-tell": Recipe(
            _REPORT_CAPTION_HEAD, replace(_REPORT_CAPTION, attention_penalty=1.0)
        ),
        "up-down": Recipe(_REPORT_CAPTION_HEAD, _REPORT_CAPTION),
    },
}
