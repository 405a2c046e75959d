"""The two reports that can be reproduced: their heads, their figures, their settings."""

from dataclasses import dataclass

from ..evaluate.table import DASH

AMP, ACCUMULATION, STOPPING = "mixed precision", "accumulation", "early stopping"
MEASURES = (AMP, ACCUMULATION, STOPPING)  # what the second report saves time and memory by


@dataclass(frozen=True)
class Published:
    """What a report says of one head; a dash where it says nothing."""

    score: str
    training: str = DASH


@dataclass(frozen=True)
class Report:
    """A comparison of heads that somebody published.

    Attributes:
        data: what the figures were measured on.
        backbone: the frozen network.
        heads: head -> its figures; the first heads may be ours, with none.
        studied: the head on which the measures are studied.
        measures: those that the recipe takes.
        batch: questions or captions to one update.
        patience: epochs without gain, where training stops early.
        claims: measure -> what the report says it changes; "" -> all measures together.
    """

    name: str
    task: str
    data: str
    backbone: str
    heads: dict[str, Published]
    studied: str
    measures: frozenset[str]
    batch: int
    patience: int
    claims: dict[str, str]


REPORTS = {
    "vqa-report": Report(
        name="vqa-report",
        task="vqa",
        data="VQA v2, val",
        backbone="resnet18",
        heads={
            "question-only": Published(DASH),  # the gate: what can be had without any image
            "mean-embed": Published("41.71 (epoch 10)", "7–10 min + 3.5–5 min"),
            "lstm": Published("lost"),
            "question-attention": Published("44.65 (epoch 6)", "150 min for 15 epochs"),
            "san": Published("40.28 (epoch 8)", "7.6–10 min + 3.5–5 min"),
        },
        studied="san",
        measures=frozenset({AMP}),
        batch=512,
        patience=3,
        claims={},
    ),
    "caption-report": Report(
        name="caption-report",
        task="caption",
        data="COCO, test",
        backbone="resnet101",
        heads={
            "rnn-decoder": Published("0.2499"),
            "show-attend-tell": Published("0.2682"),
        },
        studied="show-attend-tell",
        measures=frozenset(MEASURES),
        batch=64,
        patience=3,
        claims={
            AMP: "40 % faster, 30 % less memory",
            "": "35 % less time, 25 % less memory",
        },
    ),
}
