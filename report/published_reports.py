"""The two published reports that can be reproduced: their heads, figures and settings."""

from dataclasses import dataclass

from ..evaluate.table import DASH

AMP, ACCUMULATION, STOPPING = "mixed precision", "accumulation", "early stopping"
MEASURES = (AMP, ACCUMULATION, STOPPING)  # by which the second report saves time and memory


@dataclass(frozen=True)
class PublishedFigures:
    """A report's figures of one head; a dash where it has none."""

    score: str
    training: str = DASH


@dataclass(frozen=True)
class PublishedReport:
    """A published comparison of heads.

    Attributes:
        data: the data set of the figures.
        backbone: the frozen network.
        heads: head -> its figures; the report lacks some of the heads.
        studied: the head of the ablation.
        measures: those of the report's recipe.
        batch_size: questions or captions of one update.
        patience: epochs without gain before training stops early.
        claims: measure -> the change that the report claims; "" -> all measures together.
    """

    name: str
    task: str
    data: str
    backbone: str
    heads: dict[str, PublishedFigures]
    studied: str
    measures: frozenset[str]
    batch_size: int
    patience: int
    claims: dict[str, str]


REPORTS = {
    "vqa-report": PublishedReport(
        name="vqa-report",
        task="vqa",
        data="VQA v2, val",
        backbone="resnet18",
        heads={
            "question-only": PublishedFigures(DASH),  # the baseline without any image
            "mean-embed": PublishedFigures("41.71 (epoch 10)", "7–10 min + 3.5–5 min"),
            "lstm": PublishedFigures("lost"),
            "question-attention": PublishedFigures("44.65 (epoch 6)", "150 min for 15 epochs"),
            "san": PublishedFigures("40.28 (epoch 8)", "7.6–10 min + 3.5–5 min"),
        },
        studied="san",
        measures=frozenset({AMP}),
        batch_size=512,
        patience=3,
        claims={},
    ),
    "caption-report": PublishedReport(
        name="caption-report",
        task="caption",
        data="COCO, test",
        backbone="resnet101",
        heads={
            "rnn-decoder": PublishedFigures("0.2499"),
            "show-attend-tell": PublishedFigures("0.2682"),
        },
        studied="show-attend-tell",
        measures=frozenset(MEASURES),
        batch_size=64,
        patience=3,
        claims={
            AMP: "40 % faster, 30 % less memory",
            "": "35 % less time, 25 % less memory",
        },
    ),
}
