"""Captions of a results file, with their images and references, through an encoder."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ..datasets.captions import read_captions
from ..datasets.catalog import open_dataset
from ..datasets.formats import SourceFile
from ..errors import InputError
from ..evaluate.captions.extra import ExtraScores
from ..evaluate.captions.results import read_caption_results
from ..evaluate.ids import check_same_ids
from ..featurize.images import ImageError, decode_upright, read_image_file
from .scores import PROMPT, Encoder, clip_score, embed_in_batches, ref_clip_score

BATCH = 64


def score_by_clip(
    encoder: Encoder, results: Path | SourceFile, data: str, split: str, references: Path
) -> tuple[list[int], list[ExtraScores]]:
    """The image ids, and CLIPScore and RefCLIPScore of the captions of a data set's split.

    Raises ``InputError`` for an image that is missing or no image, and for captions of others.
    """
    by_image = read_captions(references, split).by_image()
    captions = read_caption_results(results)
    path = results if isinstance(results, Path) else results.path
    check_same_ids("image_id", (path, captions), (references, by_image))
    ids = list(by_image)
    pictures = Pictures(data, split)
    images = embed_in_batches(lambda some: encoder.images([*map(pictures.open, some)]), ids, BATCH)
    flat = [PROMPT + text for texts in by_image.values() for text in texts]
    ends = np.cumsum([0, *map(len, by_image.values())]).tolist()
    spoken = embed_in_batches(encoder.texts, [PROMPT + captions[image] for image in ids], BATCH)
    said = embed_in_batches(encoder.texts, flat, BATCH)
    clip = clip_score(images, spoken)
    ref = ref_clip_score(clip, spoken, [said[start:end] for start, end in pairwise(ends)])
    signature = f"clip:{encoder.name}|w:2.5|prompt:a-photo-depicts"
    return ids, [
        ExtraScores(name, signature, float(np.mean(each)), each, is_mean=True)
        for name, each in (("CLIPScore", clip), ("RefCLIPScore", ref))
    ]


class Pictures:
    """The images of a split by their ids."""

    def __init__(self, data: str, split: str) -> None:
        self.images = open_dataset(data).images(split)
        self.row = {int(image): row for row, image in enumerate(self.images.image_ids)}

    def open(self, image_id: int) -> Image.Image:
        """An image, upright; raises ``InputError`` without it."""
        if image_id not in self.row:
            raise InputError(f"{self.images.root}: holds no image with the id {image_id}.")
        path = self.images.path(self.row[image_id])
        try:
            return decode_upright(read_image_file(path))
        except (ImageError, OSError) as error:
            raise InputError(f"{path}: {error}") from error
