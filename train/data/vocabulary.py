"""The words of a training split, refused where there are none to learn."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ...datasets.formats import SourceFile
from ...datasets.text import Vocabulary
from ...errors import InputError


def build_vocabulary(
    tokens: list[list[str]], specials: Sequence[str], min_count: int, path: Path | SourceFile
) -> Vocabulary:
    """The words that occur often enough; raises ``InputError`` if there is none."""
    vocabulary = Vocabulary.build(tokens, specials, min_count)
    if len(vocabulary) > len(specials):
        return vocabulary
    counts = Counter(word for words in tokens for word in words)
    if not counts:
        raise InputError(f"{path}: its texts hold no word; nothing can be learned from them.")
    word, n = counts.most_common(1)[0]
    remedy = f"add --min-word-count {n}" + (" or less" if n > 1 else "")
    lone = sum(len(words) == 1 for words in tokens)
    if 2 * lone > len(tokens):
        remedy = (
            f"{lone} of the {len(tokens)} texts are a single word, so put spaces between the words "
            f"first if their language is written without them, or {remedy}"
        )
    raise InputError(
        f"{path}: no word occurs {min_count} times, so there is no vocabulary; the most frequent, "
        f"{word!r}, occurs {n} times: {remedy}."
    )
