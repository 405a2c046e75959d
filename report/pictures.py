"""What an example is drawn from: the images of a split, and a run's attention to them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..datasets.catalog import open_dataset
from ..errors import InputError
from ..explain.overlay import overlay_uri
from ..featurize.choices import CROPS
from ..featurize.images import ImageError, decode_upright, read_image_file
from ..models.base import CaptionHead
from ..predict.inference import AttentionMap, answer_question, teacher_force
from ..predict.trained import TrainedRun, load_run
from ..train.features.split import Cells, SplitFeatures
from ..train.inputs import open_run_features

PICTURE_PIXELS = 360  # the longer side of a picture
OVERLAY_PIXELS = 280  # the longer side of a picture with attention over it


class SplitPictures:
    """The images of a split as small pictures; raises ``InputError`` for a missing data set."""

    def __init__(self, data: str, split: str) -> None:
        images = open_dataset(data).images(split)
        self._row = {int(image): row for row, image in enumerate(images.image_ids)}
        self._images = images

    def picture(self, image_id: int) -> Image.Image:
        """One image, upright, at most ``PICTURE_PIXELS``; raises ``InputError`` without it."""
        if image_id not in self._row:
            raise InputError(f"{self._images.root}: holds no image with the id {image_id}.")
        path = self._images.path(self._row[image_id])
        try:
            picture = decode_upright(read_image_file(path))
        except (ImageError, OSError) as error:
            raise InputError(f"{path}: {error}") from error
        picture.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.LANCZOS)
        return picture


class RunAttention:
    """A run's attention over the images of its validation split, from their stored features."""

    def __init__(self, path: Path) -> None:
        self.trained: TrainedRun = load_run(path, torch.device("cpu"))
        config = self.trained.config
        self.crop: str = config.feature_identity.get("crop", "squash")
        self.features: SplitFeatures | None = None
        # Where imported cells lie in the picture is not known.
        if self.trained.head.has_attention and self.crop in CROPS:
            self.features = open_run_features(config, config.split)

    @property
    def exists(self) -> bool:
        """Whether the head has attention at all."""
        return self.features is not None

    def of_question(self, image_id: int, question: str) -> list[tuple[str, AttentionMap]]:
        """The attention for a question about an image: what each map is of, and the map."""
        answer = answer_question(self.trained, self._cells(image_id), question)
        return list(zip(answer.labels, answer.attention, strict=True))

    def of_caption(self, image_id: int, caption: str) -> list[tuple[str, float, AttentionMap]]:
        """Each word of a caption that the run generated, its probability and its attention."""
        head, words = self.trained.head, self.trained.words
        assert isinstance(head, CaptionHead)
        index = {word: k for k, word in enumerate(words)}
        ids = [index[word] for word in caption.split() if word in index]
        cells = self._cells(image_id)
        with torch.inference_mode(), self.trained.precision.autocast():
            found = teacher_force(head, cells.floats(), ids, words)
        return [(*word, one) for word, one in zip(found.words, found.attention, strict=True)]

    def draw(self, picture: Image.Image, attention: AttentionMap) -> str:
        """The picture with attention over it, as a data URI."""
        return overlay_uri(picture, attention, self.crop, OVERLAY_PIXELS)

    def _cells(self, image_id: int) -> Cells:
        assert self.features is not None
        rows = self.features.rows(np.array([image_id]))
        return self.features.gather(rows, self.trained.precision.device)
