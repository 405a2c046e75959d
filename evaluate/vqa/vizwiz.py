"""VizWiz's VQA accuracy, as its own evaluation API computes it, its quirks included.

Gurari et al. 2018. The API is an older VQA evaluation that was changed: the prediction is always
normalised and what people said never is, so that an answer with a capital or a full stop cannot be
matched; and the other people of a person are all but that one, told apart by their place.
"""

from collections.abc import Sequence
from functools import cache

from .answers import APOSTROPHES_RESTORED, REPLACED, strip_answer, strip_marks

RULE_VERSION = "VizWiz-VQA-API-1.0"
# In the API's table of contractions all apostrophes became typographic, but for these.
_STRAIGHT = {"aint", "arent", "cant", "couldve", "couldnt", "weve", "wheres", "whove"}
_STRAIGHT_KEYS = {"couldn'tve", "hadn'tve"}


@cache
def _replaced() -> dict[str, str]:
    """As ``answers.REPLACED``, with the apostrophes of the API's table."""

    def curl(text: str) -> str:
        return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")

    table = {
        word if word in _STRAIGHT_KEYS else curl(word): whole if word in _STRAIGHT else curl(whole)
        for word, whole in APOSTROPHES_RESTORED.items()
    }
    others = {word: new for word, new in REPLACED.items() if word not in APOSTROPHES_RESTORED}
    return others | table


def normalize_prediction(text: str) -> str:
    """A prediction in the form in which it is compared with what people said."""
    words = strip_marks(strip_answer(text)).lower().split()
    table = _replaced()
    return " ".join(filter(None, map(table.get, words, words)))


def count_agreeing_others(answers: Sequence[str], prediction: str) -> list[int]:
    """How many others gave the predicted answer, for each person who answered one question."""
    prediction = normalize_prediction(prediction)
    matches = [answer == prediction for answer in answers]
    return [sum(matches) - match for match in matches]
