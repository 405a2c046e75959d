"""A results file evaluated: its scores, its metrics and what is needed to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .. import __version__
from ..datasets.captions import read_captions
from ..datasets.formats import CaptionResult, decode
from ..errors import InputError
from .captions import SIGNATURE, CaptionScores, score_captions
from .ids import check_same_ids
from .metrics import Family, Metric, caption_families, vqa_families
from .reference_files import References, Task
from .vqa_accuracy import RULE_VERSION, VqaScores
from .vqa_references import VqaReferences

# Where the official code's number depends on the Python that runs it, or it accepts what cannot be
# meant: which way was taken.
VQA_DEVIATIONS = "rounding:python3|unicode:python3|duplicates:refused"


@dataclass(frozen=True)
class Evaluation:
    """One results file with its scores, of questions or of captions."""

    path: Path
    scores: VqaScores | CaptionScores

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
        return caption_families(self.scores)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics alone."""
        return [metric for family in self.families for metric in family.metrics]

    @property
    def signature(self) -> str:
        """How the numbers came about, to be given beside them."""
        how = (
            f"metric:vqa-accuracy|rule:{RULE_VERSION}|{VQA_DEVIATIONS}"
            if self.task == "vqa"
            else f"metric:bleu+rouge-l+cider-d|{SIGNATURE}"
        )
        return f"{how}|n:{self.n}|frostgrid:{__version__}"


def evaluate(paths: Sequence[Path], references: References) -> list[Evaluation]:
    """Score results files. Raises ``InputError`` for whatever does not fit."""
    if isinstance(references, VqaReferences):
        return [Evaluation(path, references.score(path)) for path in paths]
    by_image = read_captions(references.path, references.split).by_image()
    return [Evaluation(path, score_file(path, references.path, by_image)) for path in paths]


def score_file(path: Path, references: Path, by_image: dict[int, list[str]]) -> CaptionScores:
    """Score a caption results file.

    Images are taken in the order of the references, as officially, whatever that of the results.
    """
    captions = read_caption_results(path)
    check_same_ids("image_id", (path, captions), (references, by_image))
    predictions = [captions[image] for image in by_image]
    return score_captions(list(by_image), predictions, list(by_image.values()))


def read_caption_results(path: Path) -> dict[int, str]:
    """Image id to caption. Raises ``InputError`` if an image is captioned twice."""
    captions: dict[int, str] = {}
    for i, entry in enumerate(decode(path, list[CaptionResult])):
        if entry.image_id in captions:
            raise InputError(
                f"{path}: entry {i}: image_id {entry.image_id} is captioned twice; keep one."
            )
        captions[entry.image_id] = entry.caption
    return captions
