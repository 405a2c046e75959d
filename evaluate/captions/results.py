"""Caption results files scored against reference captions, and the metrics of their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.captions import References, read_references
from ...datasets.file_bytes import read_whole
from ...datasets.formats import CaptionResult, SourceFile, decode
from ...datasets.ids import canonical
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
    file = SourceFile(references.origin, read_whole(references.path))
    known, only = read_references(file, references.split), references.only_predicted
    scores = [score_file(each, references.origin, known, only) for each in results]
    return scores, len(known.by_image)


def score_file(
    results: Path | SourceFile,
    path_of_references: Path,
    references: References,
    only_predicted: bool = False,
) -> CaptionScores:
    """Score a caption results file, with ``only_predicted`` on the images that it describes."""
    path = results if isinstance(results, Path) else results.path
    captions = read_caption_results(results)
    if only_predicted:
        kept = {i: texts for i, texts in references.by_image.items() if i in captions}
        references = replace(references, by_image=kept or references.by_image)
    return score_results(path, captions, path_of_references, references)


def score_results(
    path: Path,
    captions: Mapping[Any, str],
    path_of_references: Path,
    references: References,
) -> CaptionScores:
    """Score what a results file holds: canonical image ids to captions.

    Images are taken in the order of the references, as officially, whatever that of the results.
    Images whose captions were all dropped are left out of the results too.
    """
    by_image = references.by_image
    captions = {image: text for image, text in captions.items() if image not in references.dropped}
    check_same_ids("image_id", (path, captions), (path_of_references, by_image))
    scores = score_images(captions, by_image, list(by_image))
    members: dict[str, list[int | str]] = {}
    for image in by_image:
        if image in references.domains:
            members.setdefault(references.domains[image], []).append(image)
    domains = {
        name: score_images(captions, by_image, images) for name, images in sorted(members.items())
    }
    n_dropped = (references.n_dropped, len(references.dropped))
    return replace(scores, n_dropped=n_dropped, domains=domains)


def score_images(
    captions: Mapping[Any, str], by_image: Mapping[Any, list[str]], images: list[int | str]
) -> CaptionScores:
    """Score some images as if there were no others."""
    texts = [captions[image] for image in images]
    return score_captions(images, texts, [by_image[image] for image in images])


def read_caption_results(path: Path | SourceFile) -> dict[int | str, str]:
    """Image id, be it written 7, "7" or 7.0, to caption.

    Raises ``InputError`` if an image is captioned twice.
    """
    captions: dict[int | str, str] = {}
    for i, entry in enumerate(decode(path, list[CaptionResult])):
        image_id = canonical(entry.image_id)
        if image_id in captions:
            raise InputError(
                f"{path}: entry {i}: image_id {image_id} is captioned twice; keep one."
            )
        captions[image_id] = entry.caption
    return captions


def caption_families(scores: CaptionScores) -> list[Family]:
    """BLEU-1 to BLEU-4 from pooled counts, and the means of ROUGE-L and CIDEr; of nocaps by domain.

    A domain's intervals are over its own images.
    """
    whole = family_of(scores, OVERALL)
    return [whole, *(family_of(part, name) for name, part in scores.domains.items())]


def family_of(scores: CaptionScores, group: str) -> Family:
    """The metrics of one set of images."""
    n = len(scores.image_id)
    statistics = np.column_stack(
        [scores.bleu_statistics, scores.rouge_l, scores.cider, np.ones(n)]
    ).astype(np.float64)
    values = (*scores.bleu(), scores.rouge_mean(), scores.cider_mean())
    metrics = [
        Metric(group, name, n, value) for name, value in zip(CAPTION_METRICS, values, strict=True)
    ]
    return Family(metrics, statistics, n, caption_metrics, caption_metrics)


def caption_metrics(sums: Float64) -> Float64:
    """The caption metrics [..., 6] from sums [..., 13] of their statistics."""
    bleu = bleu_from_statistics(sums[..., :N_STATISTICS])
    means = sums[..., N_STATISTICS:-1] / sums[..., -1:]
    return np.concatenate([bleu, means], axis=-1)
