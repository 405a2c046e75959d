import numpy as np
import pytest
from frostgrid.datasets.text import CAPTION_SPECIALS, Vocabulary, tokenize, tokenize_all
from frostgrid.errors import InputError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize.treebank import TreebankWordTokenizer

PIECES = [*"abst019'-,.?!:;\"`()$%& \t\n\xa0é", *"  ", "''", "--", "..."]
PIECES += ["cannot", "gonna", "wanna", "gimme", "lemme", "more'n", "d'ye", "'tis", "'twas"]
PIECES += ["'s", "n't", "'ll", "'ve", "'d ", "it", "Can", "not"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("cannot wanna, what's 'tis d'ye?")
@example("wanna")
@example("a.b. c.?")
@settings(max_examples=600, deadline=None)
def test_equals_nltk(text):
    assert tokenize(text) == TreebankWordTokenizer().tokenize(text.lower())


@given(st.text())
@settings(deadline=None)
def test_equals_nltk_on_any_text(text):
    assert tokenize(text) == TreebankWordTokenizer().tokenize(text.lower())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("What's the dog's name?", ["what", "'s", "the", "dog", "'s", "name", "?"]),
        ("", []),
        ("  \n ", []),
        ("?", ["?"]),
        ("U.S. Can't, cannot.", ["u.s.", "ca", "n't", ",", "can", "not", "."]),
    ],
)
def test_tokens(text, tokens):
    assert tokenize(text) == tokens


def test_equal_texts_share_their_tokens():
    first, second, third = tokenize_all(["a b", "c", "a b"])
    assert first is third
    assert (first, second) == (["a", "b"], ["c"])


def test_vocabulary_is_by_frequency_then_alphabet():
    tokens = [["b", "a", "c"], ["c", "d"], ["c", "b", "a"]]
    assert Vocabulary.build(tokens).words == ["<pad>", "<unk>", "c", "a", "b", "d"]
    assert Vocabulary.build(tokens, min_count=2).words[2:] == ["c", "a", "b"]
    assert Vocabulary.build([], CAPTION_SPECIALS).words == ["<pad>", "<unk>", "<start>", "<end>"]


def test_encode():
    vocabulary = Vocabulary.build([["is", "it", "?"]])
    tokens, length = vocabulary.encode(["Is it?", "", "it IS a dog, it is", "?"], max_length=4)
    is_, it, mark = (vocabulary.words.index(word) for word in ("is", "it", "?"))
    assert tokens.tolist() == [[is_, it, mark, 0], [1, 0, 0, 0], [it, is_, 1, 1], [mark, 0, 0, 0]]
    assert length.tolist() == [3, 1, 4, 1]
    assert tokens.dtype == length.dtype == np.int32
    assert vocabulary.decode(tokens[0]) == ["is", "it", "?", "<pad>"]


def test_encode_nothing():
    tokens, length = Vocabulary.build([]).encode([], max_length=5)
    assert tokens.shape == (0, 1)
    assert length.shape == (0,)


def test_encode_captions():
    vocabulary = Vocabulary.build([["a", "dog"]], CAPTION_SPECIALS)
    tokens, length = vocabulary.encode_captions([["a", "dog"], [], ["a", "big", "dog"]], 2)
    assert tokens.tolist() == [[2, 4, 5, 3], [2, 3, 0, 0], [2, 4, 1, 3]]
    assert length.tolist() == [4, 2, 4]


def test_special_words_cannot_be_spelt():
    vocabulary = Vocabulary.build([["a"]], CAPTION_SPECIALS)
    assert not {0, 2, 3} & set(vocabulary.encode(["<pad> <start> <end> <unk>"], 9)[0][0].tolist())


@pytest.mark.parametrize("words", [[], ["a", "b"], ["<pad>", "<unk>", "a", "a"]])
def test_what_is_no_vocabulary(words):
    with pytest.raises(InputError, match="not a vocabulary"):
        Vocabulary(words)
