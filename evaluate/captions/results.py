"""Caption results files scored against reference captions, and the metrics of their scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...datasets.captions import read_captions
from ...datasets.formats import CaptionResult, SourceFile, decode
from ...errors import InputError
from ..bootstrap import Float64
from ..ids import check_same_ids
from ..metrics import CAPTION_METRICS, OVERALL, Family, Metric
from ..reference_files import CaptionReferences
from .bleu import N_STATISTICS, bleu_from_statistics
from .scores import CaptionScores, score_captions


def score_caption_files(
    results: Sequence[Path | SourceFile], references: CaptionReferences
) -> tuple[list[CaptionScores], int]:
    """Score results files; returns the number of images with references too.

    Raises ``InputError`` for whatever does not fit.
    """
    by_image = read_captions(references.path, references.split).by_image()
    only = references.only_predicted
    scores = [score_file(each, references.path, by_image, only) for each in results]
    return scores, len(by_image)


def score_file(
    results: Path | SourceFile,
    references: Path,
    by_image: dict[int, list[str]],
    only_predicted: bool = False,
) -> CaptionScores:
    """Score a caption results file, with ``only_predicted`` on the images that it describes.

    Images are taken in the order of the references, as officially, whatever that of the results.
    """
    captions = read_caption_results(results)
    path = results if isinstance(results, Path) else results.path
    if only_predicted:
        by_image = {i: texts for i, texts in by_image.items() if i in captions} or by_image
    check_same_ids("image_id", (path, captions), (references, by_image))
    predictions = [captions[image] for image in by_image]
    return score_captions(list(by_image), predictions, list(by_image.values()))


def read_caption_results(path: Path | SourceFile) -> dict[int, str]:
    """Image id, be it written 7, "7" or 7.0, to caption.

    Raises ``InputError`` if an image is captioned twice.
    """
    captions: dict[int, str] = {}
    for i, entry in enumerate(decode(path, list[CaptionResult], strict=False)):
        if entry.image_id in captions:
            raise InputError(
                f"{path}: entry {i}: image_id {entry.image_id} is captioned twice; keep one."
            )
        captions[entry.image_id] = entry.caption
    return captions


def caption_families(scores: CaptionScores) -> list[Family]:
    """BLEU-1 to BLEU-4 from pooled counts, and the means of ROUGE-L and CIDEr."""
    n = len(scores.image_id)
    statistics = np.column_stack(
        [scores.bleu_statistics, scores.rouge_l, scores.cider, np.ones(n)]
    ).astype(np.float64)
    values = (*scores.bleu(), scores.rouge_mean(), scores.cider_mean())
    metrics = [
        Metric(OVERALL, name, n, value) for name, value in zip(CAPTION_METRICS, values, strict=True)
    ]
    return [Family(metrics, statistics, n, caption_metrics, caption_metrics)]


def caption_metrics(sums: Float64) -> Float64:
    """The caption metrics [..., 6] from sums [..., 13] of their statistics."""
    bleu = bleu_from_statistics(sums[..., :N_STATISTICS])
    means = sums[..., N_STATISTICS:-1] / sums[..., -1:]
    return np.concatenate([bleu, means], axis=-1)
