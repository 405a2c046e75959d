"""Which runs' curves share axes: loss by epoch, score by epoch."""

from dataclasses import dataclass
from math import isfinite

from ..explain.palette import PALETTE
from .plots import Chart, Curve
from .runs import RunRecord


@dataclass(frozen=True)
class Panel:
    """Runs whose curves share axes, and their numbers; ``name`` is empty for the only panel.

    ``scores``: those of all panels, so that their score axes have the same range.
    """

    name: str
    records: list[RunRecord]
    numbers: list[int]
    scores: tuple[float, ...] = ()

    def title(self, words: str) -> str:
        """A chart's title, with the panel's name."""
        return f"{words}, {self.name}" if self.name else words


def number_runs(records: list[RunRecord]) -> list[int]:
    """Each run's number, which determines its colour and marker.

    Numbers follow the order of the runs. With more runs than colours, trained by several recipes,
    runs of the same head share a colour and runs of the same recipe share a marker.
    """
    heads, recipes = (
        list(dict.fromkeys(getattr(record.config, name) for record in records))
        for name in ("head", "recipe")
    )
    paired = [
        recipes.index(r.config.recipe) * len(PALETTE) + heads.index(r.config.head) for r in records
    ]
    if len(records) <= len(PALETTE) or len(heads) > len(PALETTE) or len({*paired}) < len(paired):
        return list(range(len(records)))
    return paired


def split_panels(records: list[RunRecord]) -> list[Panel]:
    """All runs in one panel; with more runs than colours, one panel for each recipe."""
    numbers = number_runs(records)
    recipes = list(dict.fromkeys(record.config.recipe for record in records))
    if len(records) <= len(PALETTE) or len(recipes) == 1:
        return [Panel("", records, numbers)]
    scores = tuple(x for r in records for x in r.column(r.score_name) if isfinite(x))
    panels = []
    for recipe in recipes:
        pairs = [(r, k) for r, k in zip(records, numbers, strict=True) if r.config.recipe == recipe]
        panels.append(
            Panel(f"{recipe} recipe", [r for r, _ in pairs], [k for _, k in pairs], scores)
        )
    return panels


def loss_chart(panel: Panel) -> Chart:
    """Training loss, dashed, and validation loss, solid, of a panel's runs."""
    curves = []
    for number, record in zip(panel.numbers, panel.records, strict=True):
        epochs = [int(e) for e in record.column("epoch")]
        train, val = record.column("train_loss"), record.column("val_loss")
        curves.append(Curve(record.name, number, epochs, train, dashed=True))
        best = int(record.best["epoch"])
        curves.append(Curve(record.name, number, epochs, val, best_epoch=best))
    unit = "nats a question" if panel.records[0].config.task == "vqa" else "nats a word"
    return Chart(panel.title("Loss"), unit, curves)


def score_chart(panel: Panel) -> Chart:
    """The validation score of a panel's runs."""
    curves = [
        Curve(
            record.name,
            number,
            [int(e) for e in record.column("epoch")],
            record.column(record.score_name),
            best_epoch=int(record.best["epoch"]),
        )
        for number, record in zip(panel.numbers, panel.records, strict=True)
    ]
    if panel.records[0].config.task == "vqa":
        return Chart(panel.title("Validation accuracy"), "%", curves, also=panel.scores)
    title = panel.title("Validation BLEU-4 of own captions")
    return Chart(title, "fraction", curves, least_top=0.01, also=panel.scores)
