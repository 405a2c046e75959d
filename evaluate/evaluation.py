"""A results file's scores, its metrics, and the statistics and signature behind them.

Modules for captions are imported only when there are captions: that takes as long as scoring a
small VQA set.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..datasets.formats import SourceFile
from ..errors import InputError
from .layouts import Task
from .metrics import Family, Metric, vqa_families
from .reference_files import References
from .vqa.accuracy import VqaScores
from .vqa.references import VqaReferences

if TYPE_CHECKING:
    from .captions.extra import ExtraScores
    from .captions.scores import CaptionScores

# Our choice wherever the official number depends on the Python version, or the official code
# accepts an obvious mistake.
VQA_DEVIATIONS = "rounding:python3|unicode:python3|duplicates:refused"


# Why something was left out, as ``config.json`` has it, and in words.
REASONS = {
    "missing": "without features (--missing skip)",
    "limit": "beyond --limit",
    "hold_out": "on images that are not held out (--hold-out)",
}


@dataclass(frozen=True)
class Evaluation:
    """One results file with its scores, of questions or of captions.

    ``n_references``: how many questions or images there are to predict, None: as many.
    ``left_out``: why some were not, as recorded with the results; reason -> how many.
    ``extras``: the scores of captions that other programs computed.
    """

    path: Path
    scores: VqaScores | CaptionScores
    n_references: int | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    extras: tuple[ExtraScores, ...] = ()

    @property
    def task(self) -> Task:
        """What the results are."""
        return "vqa" if isinstance(self.scores, VqaScores) else "caption"

    @property
    def n(self) -> int:
        """The number of questions, or of captioned images."""
        scores = self.scores
        return len(scores.accuracy if isinstance(scores, VqaScores) else scores.image_id)

    @cached_property
    def families(self) -> list[Family]:
        """The metrics, with their statistics."""
        if isinstance(self.scores, VqaScores):
            return vqa_families(self.scores)
        from .captions.results import caption_families

        return [*caption_families(self.scores), *(extra.family for extra in self.extras)]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics alone."""
        return [metric for family in self.families for metric in family.metrics]

    @property
    def signature(self) -> str:
        """How the numbers were computed; printed beside them."""
        if isinstance(self.scores, VqaScores):
            how = f"metric:vqa-accuracy|rule:{self.scores.rule}|{VQA_DEVIATIONS}"
            if self.scores.n_lone:
                how += f"|answers:{self.scores.n_lone} lone ones as ten"
        else:
            from .captions.scores import SIGNATURE

            how = "|".join([SIGNATURE, *(extra.signature for extra in self.extras)])
            how += self._parts()
        return f"{how}|n:{self.n}{self.part}|frostgrid:{__version__}"

    @property
    def part(self) -> str:
        """Of how many there are only a part was scored, and why; "" for all."""
        if self.n_references in (None, self.n):
            return ""
        reasons = "+".join(f"{reason}={n}" for reason, n in self.left_out.items())
        return f"|of:{self.n_references}|{f'left-out:{reasons}' if reasons else 'only-predicted'}"

    @property
    def note(self) -> str:
        """The same for people."""
        if not self.part:
            return ""
        items = "questions" if self.task == "vqa" else "images"
        why = ", ".join(f"{n} {REASONS.get(r, r)}" for r, n in self.left_out.items())
        return (
            f"scored on {self.n} of {self.n_references} {items}; the others "
            f"{f'were left out: {why}' if why else 'have no prediction (--only-predicted)'}"
        )

    @property
    def item_ids(self) -> list[Hashable]:
        """The ids of the questions, or of the images that are described, in order."""
        scores = self.scores
        if isinstance(scores, VqaScores):
            return list(scores.question_ids)
        return list(scores.image_id.tolist())

    def _parts(self) -> str:
        """What is particular about the reference captions."""
        assert not isinstance(self.scores, VqaScores)
        n_captions, n_images = self.scores.n_dropped
        domains = "|domains:each by itself" if self.scores.domains else ""
        if not n_captions:
            return domains
        return f"{domains}|dropped:rejected+precanned({n_captions} captions, {n_images} images)"


def evaluate(
    results: Sequence[Path | SourceFile],
    references: References,
    left_out: dict[str, int] | None = None,
) -> list[Evaluation]:
    """Score results files, or what was read of them.

    ``left_out`` as in :class:`Evaluation`. Raises ``InputError`` for whatever does not fit.
    """
    paths = [each if isinstance(each, Path) else each.path for each in results]
    scores: Sequence[VqaScores | CaptionScores]
    if isinstance(references, VqaReferences):
        scores = [references.score(each) for each in results]
        n_references = references.n
    else:
        from .captions.results import score_caption_files

        scores, n_references = score_caption_files(results, references)
    evaluations = [
        Evaluation(path, score, n_references, left_out or {})
        for path, score in zip(paths, scores, strict=True)
    ]
    if references.only_predicted:
        check_parts(evaluations)
    return evaluations


def check_parts(evaluations: Sequence[Evaluation]) -> None:
    """Raise ``InputError`` unless all files are of the same items, as many as were recorded."""
    first = evaluations[0]
    n_expected = (first.n_references or first.n) - sum(first.left_out.values())
    if first.left_out and first.n != n_expected:
        raise InputError(
            f"{first.path}: holds {first.n} predictions, but its config.json says that "
            f"{n_expected} of {first.n_references} were made; predict again, or score what is "
            "there by --only-predicted."
        )
    for other in evaluations[1:]:
        if other.n != first.n or other.item_ids != first.item_ids:
            n_common = len({*first.item_ids} & {*other.item_ids})
            raise InputError(
                f"{other.path}: predicts {other.n} items, of which {n_common} are among the "
                f"{first.n} of {first.path}; scores side by side need the same, so score each by "
                "itself."
            )
