"""Whether predictions and references are of the same items."""

import json
from collections.abc import Collection, Hashable, Iterable
from itertools import islice
from pathlib import Path

from ..errors import InputError

MOST_NAMED = 5
MOST_LETTERS = 60


def check_same_ids(
    kind: str,
    predictions: tuple[Path, Collection[Hashable]],
    references: tuple[Path, Collection[Hashable]],
    noun: str = "prediction",
) -> None:
    """Raise ``InputError`` unless both hold the same ids (``kind`` says of what, "question_id").

    Each is a file, for the message, and the distinct ids in it; ``noun`` says what the first holds.
    """
    (path, given), (reference_path, expected) = predictions, references
    given_set, expected_set = set(given), set(expected)
    missing = [item for item in expected if item not in given_set]
    unknown = [item for item in given if item not in expected_set]
    problems = []
    if missing:
        problems.append(
            f"{len(missing)} of the {len(expected)} in {reference_path} have no {noun} "
            f"({kind} {name_some(missing)})"
        )
    if unknown:
        those = "these" if missing else f"the {len(expected)} in {reference_path}"
        problems.append(
            f"{len(unknown)} of {len(given)} {noun}s fit none of {those} "
            f"({kind} {name_some(unknown)})"
        )
    if not problems:
        return
    advice = f"give exactly one {noun} for each"
    if missing and not unknown and given and noun == "prediction":
        advice += ", or score these alone by --only-predicted"
    if missing and {str(item) for item in missing} & {str(item) for item in unknown}:
        advice = "some differ only in being a number here and a string there; write them alike"
    raise InputError(f"{path}: {' and '.join(problems)}; {advice}.")


def name_some(ids: Iterable[Hashable]) -> str:
    """The first few ids, for a message."""
    named = [shorten(item) for item in islice(ids, MOST_NAMED + 1)]
    return ", ".join([*named[:MOST_NAMED], "..."] if len(named) > MOST_NAMED else named)


def shorten(value: object) -> str:
    """A value for a message: as JSON, in one line that is not long, and fit to be printed."""
    text = json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
