r"""VizWiz's VQA accuracy rebuilt plainly from what its own API's vqaEval.py (version 1.0) does.

Behaviour kept: a prediction has ``\n`` and ``\t`` blanked, is stripped and always normalised
(punctuation, then case, number words, articles, contractions); what people said is compared as it
stands. The others of a person are all but that one, by place. Overall and per answer type: means
times 100, to two decimals. The API's table of contractions has typographic apostrophes in most
entries, so that "dont" becomes "don’t", which no one types.
"""

import re

MARKS = ';/[]"{}()=+\\_-><@`,?!'
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(WORDS)} | {"none": "0"}
# Some of the table's entries, of each kind.
CONTRACTIONS = {
    "aint": "ain't",
    "cant": "can't",
    "couldnt": "couldn't",
    "couldn'tve": "couldn’t’ve",
    "couldnt’ve": "couldn’t’ve",
    "dont": "don’t",
    "doesnt": "doesn’t",
    "hadn'tve": "hadn’t’ve",
    "isnt": "isn’t",
    "somebody’d": "somebodyd",
    "oclock": "o’clock",
    "twas": "’twas",
    "’ow’sat": "’ow’s’at",
    "weve": "we've",
    "wheres": "where's",
    "whove": "who've",
    "youre": "you’re",
}


def normalize(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    new = text
    for mark in MARKS:
        touches = f"{mark} " in text or f" {mark}" in text
        new = new.replace(mark, "" if touches or re.search(r"\d,\d", text) else " ")
    new = re.sub(r"\.(?!\d)", "", new, count=32)
    words = [NUMBERS.get(word, word) for word in new.lower().split()]
    return " ".join(CONTRACTIONS.get(w, w) for w in words if w not in ("a", "an", "the"))


def accuracy(prediction: str, answers: list[str]) -> float:
    said = normalize(prediction)
    credits = []
    for place in range(len(answers)):
        others = answers[:place] + answers[place + 1 :]
        credits.append(min(1, others.count(said) / 3))
    return sum(credits) / len(credits)


def evaluate(entries: list[dict], predictions: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Overall and per answer type."""
    scores, by_type = [], {}
    for entry in entries:
        score = accuracy(predictions[entry["image"]], [a["answer"] for a in entry["answers"]])
        scores.append(score)
        by_type.setdefault(entry["answer_type"], []).append(score)
    percent = lambda values: round(100 * sum(values) / len(values), 2)  # noqa: E731
    return percent(scores), {kind: percent(values) for kind, values in by_type.items()}
