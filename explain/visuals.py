"""Pictures inside a page, as data URIs, and the maps of runs that looked at them."""

import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..featurize.images import ImageError, decode_upright, read_image_file
from ..models.base import CaptionHead
from ..predict.inference import CellMap, ask, retrace
from ..predict.trained import Trained, load_run
from ..train.data.features import Cells, SplitFeatures
from ..train.prepare import open_run_features
from .overlay import overlay

SHOWN = 360  # pixels, the longer side
MAP_PIXELS = 280  # the longer side of a picture with a map over it
QUALITY = 80  # of JPEG


def data_uri(picture: Image.Image) -> str:
    """An RGB picture as a JPEG inside a page."""
    out = io.BytesIO()
    # Full colour resolution: the edges of a glow are all colour.
    picture.save(out, "JPEG", quality=QUALITY, optimize=True, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def shade(picture: Image.Image, where: CellMap, crop: str, side: int) -> str:
    """The picture with a map over it, its longer side so many pixels, inside a page.

    A small picture is enlarged first: a map is smooth, whatever is below.
    """
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return data_uri(overlay(picture.resize(size, Image.Resampling.LANCZOS), where, crop))


class Pictures:
    """The images of a split, small, by id; raises ``InputError`` if the data set is not there."""

    def __init__(self, data: str, split: str) -> None:
        images = open_dataset(data).images(split)
        self._row = {int(image): row for row, image in enumerate(images.image_ids)}
        self._images = images

    def picture(self, image_id: int) -> Image.Image:
        """One image, upright, at most ``SHOWN`` pixels."""
        if image_id not in self._row:
            raise InputError(f"{self._images.root}: holds no image with the id {image_id}.")
        path = self._images.path(self._row[image_id])
        try:
            picture = decode_upright(read_image_file(path))
        except (ImageError, OSError) as error:
            raise InputError(f"{path}: {error}") from error
        picture.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
        return picture


class Watched:
    """A run whose head says where it looks, over the features of its validation split."""

    def __init__(self, path: Path) -> None:
        self.trained: Trained = load_run(path, torch.device("cpu"))
        self.crop: str = self.trained.config.feature_identity.get("crop", "squash")
        config = self.trained.config
        self.features: SplitFeatures | None = None
        if self.trained.head.has_attention:
            self.features = open_run_features(config, config.split)

    @property
    def has_attention(self) -> bool:
        """Whether the head has maps."""
        return self.trained.head.has_attention

    def answer_maps(self, image_id: int, question: str) -> list[CellMap]:
        """A map a hop, for a question about an image."""
        return ask(self.trained, self._cells(image_id), question).maps

    def caption_maps(self, image_id: int, caption: str) -> list[tuple[str, CellMap]]:
        """A map a word, for a caption that the run gave to an image."""
        head, words = self.trained.head, self.trained.words
        assert isinstance(head, CaptionHead)
        number = {word: k for k, word in enumerate(words)}
        said = [number[word] for word in caption.split() if word in number]
        cells = self._cells(image_id)
        with torch.inference_mode(), self.trained.precision.autocast():
            told = retrace(head, cells.floats(), said, words)
        return [(word, where) for (word, _), where in zip(told.words, told.maps, strict=True)]

    def _cells(self, image_id: int) -> Cells:
        assert self.features is not None
        rows = self.features.rows(np.array([image_id]))
        return self.features.gather(rows, self.trained.precision.device)

    def shade(self, picture: Image.Image, where: CellMap) -> str:
        """The picture with a map over it, inside a page."""
        return shade(picture, where, self.crop, MAP_PIXELS)
