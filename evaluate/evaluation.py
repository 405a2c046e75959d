"""A results file's scores, its metrics, and the statistics and signature behind them.

Modules for captions are imported only when there are captions: that takes as long as scoring a
small VQA set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..datasets.formats import SourceFile
from .layouts import Task
from .metrics import Family, Metric, vqa_families
from .reference_files import References
from .vqa.accuracy import RULE_VERSION, VqaScores
from .vqa.references import VqaReferences

if TYPE_CHECKING:
    from .captions.extra import ExtraScores
    from .captions.scores import CaptionScores

# Our choice wherever the official number depends on the Python version, or the official code
# accepts an obvious mistake.
VQA_DEVIATIONS = "rounding:python3|unicode:python3|duplicates:refused"


@dataclass(frozen=True)
class Evaluation:
    """One results file with its scores, of questions or of captions.

    ``extras``: those of captions that other programs computed.
    """

    path: Path
    scores: VqaScores | CaptionScores
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
        if self.task == "vqa":
            how = f"metric:vqa-accuracy|rule:{RULE_VERSION}|{VQA_DEVIATIONS}"
        else:
            from .captions.scores import SIGNATURE

            how = "|".join([SIGNATURE, *(extra.signature for extra in self.extras)])
        return f"{how}|n:{self.n}|frostgrid:{__version__}"


def evaluate(results: Sequence[Path | SourceFile], references: References) -> list[Evaluation]:
    """Score results files, or what was read of them.

    Raises ``InputError`` for whatever does not fit.
    """
    paths = [each if isinstance(each, Path) else each.path for each in results]
    scores: Sequence[VqaScores | CaptionScores]
    if isinstance(references, VqaReferences):
        scores = [references.score(each) for each in results]
        return [Evaluation(path, score) for path, score in zip(paths, scores, strict=True)]
    from .captions.results import score_caption_files

    scores = score_caption_files(results, references)
    return [Evaluation(path, score) for path, score in zip(paths, scores, strict=True)]
