"""Several runs, asked about the same photo: each distinct frozen network looks at it once."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

from ..predict.backbone import FrozenNetwork, Seen, identity_key
from ..predict.inference import Answered, CellMap
from ..predict.photo import Photo
from ..predict.trained import Trained
from .explain import say
from ..report.pictures import shade

REMEMBERED = 8  # photos whose features are kept, so that a second question costs no second look
FRAME_PIXELS = 480  # the longer side of a picture in a reply


@dataclass(frozen=True)
class Asked:
    """A run that can be asked; ``network`` is a key of the oracle's, None if it reads no image."""

    name: str
    trained: Trained
    network: tuple[Any, ...] | None


class Oracle:
    """Runs and their frozen networks; one photo at a time, from any thread.

    Raises ``InputError`` when a network cannot be rebuilt; see ``FrozenNetwork``.
    """

    def __init__(
        self, runs: list[tuple[str, Trained]], weights: str | None, device: torch.device
    ) -> None:
        self.networks: dict[tuple[Any, ...], FrozenNetwork] = {}
        self.asked: list[Asked] = []
        for name, trained in runs:
            key = None
            if trained.head.features != "none":
                key = identity_key(trained.config)
                if key not in self.networks:
                    self.networks[key] = FrozenNetwork(trained.config, weights, device)
            self.asked.append(Asked(name, trained, key))
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, tuple[Any, ...]], Seen] = OrderedDict()

    @property
    def tasks(self) -> set[str]:
        """What the runs can do: ``vqa``, ``caption`` or both."""
        return {asked.trained.config.task for asked in self.asked}

    def reply(self, photo: Photo, task: str, question: str) -> list[dict[str, Any]]:
        """What each run of a task says about a photo, ready to be sent as JSON.

        Raises ``InputError`` for an empty question and for a photo that cannot be decoded.
        """
        with self._lock:
            return [
                self._reply(number, asked, photo, question)
                for number, asked in enumerate(self.asked)
                if asked.trained.config.task == task
            ]

    def _reply(self, number: int, asked: Asked, photo: Photo, question: str) -> dict[str, Any]:
        seen = None if asked.network is None else self._look(photo, asked.network)
        said = say(asked.trained, seen, question)
        reply: dict[str, Any] = {
            "run": number,
            "name": asked.name,
            "answers": [],
            "unknown": [],
            "unread": 0,
        }
        if isinstance(said, Answered):
            reply |= {"answers": said.answers, "unknown": said.unknown, "unread": said.n_unread}
            labels = [f"hop {k + 1}" for k in range(len(said.maps))]
            reply["note"] = self._note(asked, bool(said.maps))
        else:
            reply["words"] = said.words
            labels = [word for word, _ in said.words] if said.maps else []
            reply["note"] = self._note(asked, bool(said.maps) or not said.words)
        reply["frames"] = self._frames(asked, photo, labels, said.maps)
        return reply

    def _note(self, asked: Asked, has_maps: bool) -> str:
        if asked.network is None:
            return "This head never looks at the image."
        return "" if has_maps else "This head has no attention to show."

    def _look(self, photo: Photo, key: tuple[Any, ...]) -> Seen:
        place = (photo.sha256, key)
        if place not in self._seen:
            self._seen[place] = self.networks[key].look(photo)
        self._seen.move_to_end(place)
        while len(self._seen) > REMEMBERED * max(1, len(self.networks)):
            self._seen.popitem(last=False)
        return self._seen[place]

    def _frames(
        self, asked: Asked, photo: Photo, labels: list[str], maps: list[CellMap]
    ) -> list[dict[str, str]]:
        if asked.network is None:
            return []
        crop = self.networks[asked.network].preprocessing.crop
        return [
            {"label": label, "image": shade(photo.picture, where, crop, FRAME_PIXELS)}
            for label, where in zip(labels, maps, strict=True)
        ]
