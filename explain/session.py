"""Several runs queried about the same photo: each distinct frozen network extracts it once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..predict.backbone import FrozenNetwork, PhotoFeatures, identity_key
from ..predict.inference import AnswerPrediction, AttentionMap, Prediction, predict_image
from ..predict.photo import Photo, decode_photo
from ..predict.trained import TrainedRun

CACHED_PHOTOS = 8  # whose features are kept, so that a second question needs no extraction
MAX_PIXELS = 64_000_000  # of an image; decoding takes up to 16 bytes for each
FRAME_PIXELS = 480  # the longer side of a picture in a reply


@dataclass(frozen=True)
class SessionRun:
    """A run of a session; ``network`` is None for a head that reads no image."""

    name: str
    trained: TrainedRun
    network: FrozenNetwork | None

    @property
    def crop(self) -> str:
        """How the network's preprocessing makes a photo a square."""
        return "squash" if self.network is None else self.network.preprocessing.crop


class InferenceSession:
    """Runs and their frozen networks, which are shared where they are the same.

    Raises ``InputError`` when a network cannot be rebuilt; see ``FrozenNetwork``.
    """

    def __init__(
        self, runs: Sequence[tuple[str, TrainedRun]], weights: str | None, device: torch.device
    ) -> None:
        networks: dict[tuple[Any, ...], FrozenNetwork] = {}
        self.runs: list[SessionRun] = []
        for name, trained in runs:
            network = None
            if trained.head.features != "none":
                key = identity_key(trained.config)
                if key not in networks:
                    networks[key] = FrozenNetwork(trained.config, weights, device)
                network = networks[key]
            self.runs.append(SessionRun(name, trained, network))
        self.networks = list(networks.values())
        self._lock = threading.Lock()
        self._features: OrderedDict[tuple[str, FrozenNetwork], PhotoFeatures] = OrderedDict()

    @property
    def tasks(self) -> set[str]:
        """The runs' tasks: ``vqa``, ``caption`` or both."""
        return {run.trained.config.task for run in self.runs}

    def predict(self, run: SessionRun, photo: Photo, question: str) -> Prediction:
        """A run's answer to the question about the photo, or its caption; not thread-safe.

        Raises ``InputError`` for an empty question and for a photo that cannot be decoded.
        """
        features = self.extract(photo, run.network)
        cells = None if features is None else features.select(run.trained.head.features)
        return predict_image(run.trained, cells, question)

    def reply(self, data: bytes, task: str, question: str) -> list[dict[str, Any]]:
        """The predictions of all runs of a task for an image file, ready to be sent as JSON.

        May be called from any thread: one image at a time is decoded, so that memory stays bounded.
        Raises ``InputError`` as :meth:`predict` does, and for more than ``MAX_PIXELS``.
        """
        with self._lock:
            photo = decode_photo(data, "The file", MAX_PIXELS)
            return [
                {"run": index, **to_json(run, photo, self.predict(run, photo, question))}
                for index, run in enumerate(self.runs)
                if run.trained.config.task == task
            ]

    def extract(self, photo: Photo, network: FrozenNetwork | None) -> PhotoFeatures | None:
        """The photo's features, None without a network; those of the last photos are kept.

        Raises ``InputError`` for a photo that cannot be decoded.
        """
        if network is None:
            return None
        key = (photo.sha256, network)
        if key not in self._features:
            self._features[key] = network.extract(photo)
        self._features.move_to_end(key)
        while len(self._features) > CACHED_PHOTOS * len(self.networks):
            self._features.popitem(last=False)
        return self._features[key]


def to_json(run: SessionRun, photo: Photo, prediction: Prediction) -> dict[str, Any]:
    """A prediction as the page's script reads it: see ``templates/serve.html``."""
    reply: dict[str, Any] = {"name": run.name, "answers": [], "unknown": [], "unread": 0}
    attention = prediction.attention
    explained = bool(attention)
    if isinstance(prediction, AnswerPrediction):
        reply["answers"] = prediction.answers
        reply |= {"unknown": prediction.unknown, "unread": prediction.n_unread}
        labels = prediction.labels
    else:
        reply["words"] = prediction.words
        labels = [word for word, _ in prediction.words] if attention else []
        explained = explained or not prediction.words
    if run.network is None:
        reply["note"] = "This head never looks at the image."
    else:
        reply["note"] = "" if explained else "This head has no attention to show."
    reply["frames"] = draw_frames(run, photo, labels, attention)
    return reply


def draw_frames(
    run: SessionRun, photo: Photo, labels: list[str], attention: list[AttentionMap]
) -> list[dict[str, str]]:
    """The photo with each map over it, under its label."""
    from .overlay import overlay_uri  # and matplotlib, which a run without a page does not need

    return [
        {"label": label, "image": overlay_uri(photo.picture, one, run.crop, FRAME_PIXELS)}
        for label, one in zip(labels, attention, strict=True)
    ]
