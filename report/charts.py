"""Which runs' curves share axes: loss by epoch, each score by epoch, the reward by epoch."""

from dataclasses import dataclass, replace
from math import isfinite

from ..explain.palette import PALETTE
from ..predict.provenance import name_network
from .plots import Chart, Curve
from .runs import RunRecord, name_data


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


def panel_charts(panel: Panel) -> dict[str, Chart]:
    """A panel's charts by name: the loss, the score and, for captions, CIDEr-D and the reward."""
    charts = {"loss": loss_chart(panel)}
    if panel.records[0].config.task == "vqa":
        title = panel.title("Validation accuracy")
        charts["score"] = score_chart(panel, "val_accuracy", Chart(title, "%", also=panel.scores))
        return charts
    title, also = panel.title("Validation BLEU-4 of own captions"), panel.scores
    blank = Chart(title, "fraction", least_top=0.01, also=also)
    charts["score"] = score_chart(panel, "val_bleu4", blank)
    if all("val_cider" in line for record in panel.records for line in record.epochs):
        blank = Chart(panel.title("Validation CIDEr-D of own captions"), "0 to 10", least_top=0.01)
        charts["cider"] = score_chart(panel, "val_cider", blank)
    pairs = list(zip(panel.records, panel.numbers, strict=True))
    if drawn := [(r, k) for r, k in pairs if r.config.scst is not None]:
        rewarded = replace(panel, records=[r for r, _ in drawn], numbers=[k for _, k in drawn])
        blank = Chart(panel.title("CIDEr-D of drawn training captions"), "0 to 10", least_top=0.01)
        charts["reward"] = score_chart(rewarded, "train_reward", blank)
    return charts


def loss_chart(panel: Panel) -> Chart:
    """Training loss, dashed, and validation loss, solid, of a panel's runs.

    That of self-critical training is no loss a word, and left out.
    """
    curves = []
    for number, record in zip(panel.numbers, panel.records, strict=True):
        epochs = [int(e) for e in record.column("epoch")]
        train = [] if record.config.scst is not None else record.column("train_loss")
        # The training loss has the penalty on the attention in it.
        val = [line["val_loss"] + line.get("val_penalty", 0.0) for line in record.epochs]
        if train:
            curves.append(Curve(record.name, number, epochs, train, dashed=True))
        best = int(record.best["epoch"])
        curves.append(Curve(record.name, number, epochs, val, best_epoch=best))
    unit = "nats an answer" if panel.records[0].config.task == "vqa" else "nats a word"
    return Chart(panel.title("Loss"), unit, curves, caption=chart_caption(panel.records))


def score_chart(panel: Panel, metric: str, blank: Chart) -> Chart:
    """A validation score of a panel's runs, with the interval of each epoch that has one."""
    curves = [
        Curve(
            record.name,
            number,
            [int(e) for e in record.column("epoch")],
            record.column(metric),
            best_epoch=int(record.best["epoch"]),
            band=[
                (line.get(f"{metric}_low"), line.get(f"{metric}_high")) for line in record.epochs
            ],
        )
        for number, record in zip(panel.numbers, panel.records, strict=True)
    ]
    has_band = any(low is not None for curve in curves for low, _ in curve.band)
    caption = chart_caption(panel.records) + ["band: 95 % interval over the images"] * has_band
    return replace(blank, curves=curves, caption=caption)


def chart_caption(records: list[RunRecord]) -> list[str]:
    """What the curves are of: the validation data, and the network of the features."""
    data = list(dict.fromkeys(f"{name_data(r.config)}, {r.config.split}" for r in records))
    networks = list(
        dict.fromkeys(name_network(r.config) for r in records if r.config.feature_identity)
    )
    return [" / ".join(data), *networks]
