"""From a run and a photo to an answer or a caption, and its sheet."""

from dataclasses import dataclass

from ..predict.backbone import FrozenNetwork, Seen
from ..predict.inference import Answered, Told, ask, tell
from ..predict.photo import Photo
from ..predict.trained import Trained
from .figure import Scene, draw_answer, draw_caption


@dataclass(frozen=True)
class Explained:
    """What a head said, and the sheet that shows it, a PNG file."""

    said: Answered | Told
    png: bytes


def explain(
    trained: Trained, network: FrozenNetwork | None, photo: Photo, question: str | None, footer: str
) -> Explained:
    """Ask a VQA head, or let a captioning head tell, and draw it.

    ``network`` is None for a head that reads no image. Raises ``InputError`` for an empty question
    and for a photo that cannot be decoded.
    """
    seen = network.look(photo) if network is not None else None
    crop = network.preprocessing.crop if network is not None else "squash"
    scene = Scene(photo.picture, crop, footer)
    said = say(trained, seen, question)
    if isinstance(said, Answered):
        return Explained(said, draw_answer(scene, question or "", said))
    return Explained(said, draw_caption(scene, said))


def say(trained: Trained, seen: Seen | None, question: str | None) -> Answered | Told:
    """What the head says about a photo's features: an answer to the question, or a caption."""
    if trained.config.task == "vqa":
        cells = seen.of(trained.head.features) if seen is not None else None
        return ask(trained, cells, question or "")
    assert seen is not None
    return tell(trained, seen.of(trained.head.features))
