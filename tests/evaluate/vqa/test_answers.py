import pytest
from frostgrid.evaluate.vqa.answers import APOSTROPHES_RESTORED, normalize_answer
from hypothesis import example, given
from hypothesis import strategies as st
from reference.vqa_eval import CONTRACTIONS, normalize

# What the official code makes of each, found by running it.
GOLDEN = {
    "": "",
    "a": "",
    "The": "",
    "Yes": "yes",
    " yes\n": "yes",
    "\tyes  sir\n": "yes sir",
    "two": "2",
    "none": "0",
    "ten dogs": "10 dogs",
    "eleven": "eleven",
    "one-two": "1 2",
    "one - two": "1 2",
    "one- two": "1 2",
    "one-two three": "1 2 3",
    "red/blue": "red blue",
    "red/ blue": "red blue",
    "red/blue / green": "redblue green",
    "1,000": "1000",
    "1,000 red/blue": "1000 redblue",
    "red,blue": "red blue",
    "3.": "3",
    "3.5": "3.5",
    ".5": ".5",
    "a.5": "a.5",
    "st. louis": "st louis",
    "u.s.a.": "usa",
    "...": "",
    "." * 40: "." * 8,
    "a.b" * 40: "ab" * 32 + "a.b" * 8,
    "dont": "don't",
    "Dont": "don't",
    "don't": "don't",
    "don'tve": "don'tve",
    "couldnt've": "couldn't've",
    "somebody'd": "somebodyd",
    "somebodyd've": "somebody'd've",
    "im": "im",
    "Id've": "id've",
    "o'clock": "o'clock",
    "its 5 oclock": "its 5 o'clock",
    "10:30": "10:30",
    "$5": "$5",
    "50%": "50%",
    "rock & roll": "rock & roll",
    "#1": "#1",
    "*": "*",
    "it's": "it's",
    "(maybe)": "maybe",
    "what?!": "what",
    "what ?": "what",
    '"stop"': "stop",
    "a_b": "b",
    "a\\b": "b",
    "the a an": "",
    "café": "café",
    "two\u00a0men": "2 men",
    "ΟΔΟΣ": "οδος",
    "-": "",
    "- -": "",
}


@pytest.mark.parametrize(("written", "expected"), GOLDEN.items())
def test_normalize_answer_equals_the_official_code(written, expected):
    assert normalize_answer(written) == expected


def test_contractions_are_those_of_the_official_table():
    can_match = {k: v for k, v in CONTRACTIONS.items() if k == k.lower() and k != v}
    assert can_match == APOSTROPHES_RESTORED
    assert len(CONTRACTIONS) == 120


AWKWARD = st.lists(
    st.one_of(
        st.sampled_from(
            [*"abc .,;/[]\"{}()=+\\_-><@`?!:'$%&#*\n\t\r\x0b\x1f", "1", "2", "\u0663", " "]
        ),
        st.sampled_from([*CONTRACTIONS, "none", "two", "TEN", "the", "An", "yes", "1,000"]),
        st.text(max_size=3),
    ),
    max_size=12,
).map("".join)


@given(AWKWARD)
@example("Σ")
@example("\ud800.")
@example("1,2" + "." * 50)
def test_normalize_answer_equals_the_plain_version(text):
    assert normalize_answer(text) == normalize(text)


def test_the_final_sigma_is_python_3s():
    assert normalize_answer("ΟΔΟΣ") == "οδος"  # with the final sigma, which Python 2 did not know
