"""Answers as the official VQA evaluation compares them, its quirks included.

The rules are those of ``vqaEval.py`` in GT-Vision-Lab/VQA (the code of 2021) run under Python 3.
Each quirk changes scores, so each is kept and has a test.
"""

import re

COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBER_WORDS = {word: str(number) for number, word in enumerate(COUNTED)} | {"none": "0"}
ARTICLES = frozenset(("a", "an", "the"))

# Contractions. A word that equals one but for a missing apostrophe is replaced by it.
CONTRACTIONS = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't
    hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am
    might've mightn't mightn't've must've mustn't needn't not've o'clock oughtn't shan't she'd've
    should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've there're
    there's they'd they'd've they'll they're they've wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're
    you've
"""
APOSTROPHES_RESTORED = {
    whole[:index] + whole[index + 1 :]: whole
    for whole in CONTRACTIONS.split()
    for index, letter in enumerate(whole)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the official table has this one the wrong way round

# Replacements of whole words; the three sets are disjoint. Articles become nothing.
REPLACED = NUMBER_WORDS | APOSTROPHES_RESTORED | dict.fromkeys(ARTICLES, "")

# Not in the official list, so left alone: : ' $ % & # * . and everything outside ASCII.
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ANY_PUNCTUATION = re.compile("[" + re.escape(PUNCTUATION) + "]")
ANY_MARK = re.compile("[" + re.escape(PUNCTUATION + ".") + "]")
COMMA_IN_NUMBER = re.compile(r"\d,\d")
# Officially meant to keep the period after a digit too, but its look-behind is mistyped.
REMOVED_PERIOD = re.compile(r"\.(?!\d)")
# The official call passes the flag re.UNICODE, which is 32, where re.sub expects the count.
MOST_PERIODS_REMOVED = 32


def strip_answer(text: str) -> str:
    r"""The answer with ``\n`` and ``\t`` as spaces, and no white space around it."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def normalize_answer(text: str) -> str:
    """The answer in the form in which answers that people do not all agree on are compared.

    Punctuation goes, then case, number words, articles, and missing apostrophes come back.
    "Two." becomes "2", "the dont-know" becomes "don't know", "a" becomes "".
    """
    text = strip_answer(text)
    if text.isalnum():  # one word: most answers, and so not worth the regular expressions
        word = text.lower()
        return REPLACED.get(word, word)
    words = strip_marks(text).lower().split()
    return " ".join(filter(None, map(REPLACED.get, words, words)))


def are_unanimous(stripped: list[str]) -> bool:
    """Whether all the stripped answers are one and the same, so that nothing is normalised."""
    return len(set(stripped)) <= 1


def strip_marks(text: str) -> str:
    """Delete or blank the marks, then remove periods that are not followed by a digit."""
    if not ANY_MARK.search(text):
        return text
    marks = set(ANY_PUNCTUATION.findall(text))
    if marks:
        # One number with a comma anywhere makes every mark vanish, not only the comma.
        in_number = COMMA_IN_NUMBER.search(text) is not None
        becomes = {
            ord(mark): "" if in_number or f"{mark} " in text or f" {mark}" in text else " "
            for mark in marks
        }
        text = text.translate(becomes)
    if "." in text:
        text = REMOVED_PERIOD.sub("", text, count=MOST_PERIODS_REMOVED)
    return text
