"""The Penn Treebank tokenizer against the official one's output, and against its plain form."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from frostgrid.evaluate.ptb import tokenizer as ptb
from frostgrid.evaluate.ptb.forms import Action
from frostgrid.evaluate.ptb.grammar.expressions import parse
from frostgrid.evaluate.ptb.grammar.rules import compile_table
from frostgrid.evaluate.ptb.kernel import number_tokens_compiled
from frostgrid.evaluate.ptb.lexer import Lexer
from frostgrid.evaluate.ptb.lexer_table import load_lexer_table
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference.ptb_lexing import lex

# Captions, in order, and what pycocoevalcap 1.2 with its Java tokenizer made of them.
GOLDEN = json.loads(Path(__file__).with_name("golden_tokens.json").read_text("utf-8"))

PIECES_TEXT = (
    "a A man dog's cannot 'tis 'Twas gonna n't don’t it`s I'm y'all o'clock D'or 's 'LL '99 U.S."
    " u.s. C. No. no. Fig. Mr. st. etc. Jan. Pty. Co. ltd Ph.D. i.e. 5 12 1/2 ½ 3-1/2 10,000 .5"
    " 555-1234 (555) 123.456.7890 $5 US$ £ € # #tag @user http://a.b/c www.a.com b.org x@y.z f.txt"
    " a.x :) ;-( >:[ ^_^ \" ' '' `` “ ’ « -- ---- — ... .. . ! ?! , ; ( ] { < > << / \\* & &amp;"
    " &quot; &apos;s &eacute; &nbsp; <b> <a b='c'> </i> A&T S&P-500 C++ f# pre-war x-y.z-w, a/b é"
    " 日本 😀 ﬁ \u00ad \u200b he She The If"
)
PIECES = PIECES_TEXT.split(" ")
SPACES = [" ", " ", " ", "", "  ", "\u00a0", "\n", "\t", " \u2009"]


@st.composite
def texts(draw: st.DrawFn, n_pieces: int) -> str:
    """Text out of pieces that the rules know, with all kinds of joints and some noise."""
    piece = st.sampled_from(PIECES) | st.text(max_size=4)
    pairs = draw(st.lists(st.tuples(piece, st.sampled_from(SPACES)), max_size=n_pieces))
    return "".join(piece + space for piece, space in pairs)


def test_golden_captions_get_the_official_tokens() -> None:
    tokens = ptb.tokenize_captions([caption for caption, _ in GOLDEN])
    assert [" ".join(line) for line in tokens] == [official for _, official in GOLDEN]
    assert len(GOLDEN) > 1000


def test_the_table_is_what_the_grammar_compiles_to() -> None:
    for stored, compiled in zip(load_lexer_table(), compile_table(), strict=True):
        np.testing.assert_array_equal(stored, compiled)


@settings(max_examples=60, deadline=None)
@given(texts(n_pieces=5))
@example("U.S. The end")
@example("no. \u00a05")
def test_the_automaton_equals_the_rules_applied_one_by_one(text: str) -> None:
    lexer = Lexer(text)
    start, matches = 0, []
    while start < len(lexer.text):
        match = lexer.match(start)
        matches.append((lexer.text[match.start : match.end], match.action))
        start = match.resume
    assert matches == list(lex(lexer.text))


@settings(max_examples=300, deadline=None)
@given(texts(n_pieces=12))
def test_what_lies_beyond_its_reach_never_changes_a_match(text: str) -> None:
    lexer = Lexer(text)
    start = 0
    while start < len(lexer.text):
        match = lexer.match(start)
        if match.reach <= len(lexer.text):
            shorter = Lexer(lexer.text[: match.reach] + "\u4e00.")
            assert shorter.match(start) == match
        start = match.resume


@settings(max_examples=300, deadline=None)
@given(st.lists(texts(n_pieces=8), min_size=1, max_size=6))
@example(["see http://a.b/\u3000", "x"])
@example(["😀.com é", "a😀b http://x😀"])
@example(["&nbsp;", "", ""])
@example(["7 \u2009.com", " \u00a0x.com"])
def test_compiled_equals_plain(captions: list[str]) -> None:
    vocabulary: dict[str, int] = {}
    lines = list(ptb.lex_lines(ptb.join_lines(captions)))
    assert len(lines) == len(captions)
    compiled = number_tokens_compiled(ptb.join_lines(captions), len(captions), vocabulary)
    if compiled is None:  # only for these, which the plain lexer then prints
        assert any("<" in c or "/" in c or "@" in c for c in captions)
        return
    words = list(vocabulary)
    assert [words[i] for i in compiled.ids] == [token for line in lines for token in line]
    assert np.diff(compiled.offsets).tolist() == [len(line) for line in lines]


def test_a_large_text_is_lexed_compiled_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [caption for caption, _ in GOLDEN]
    plain = ptb.tokenize_captions(captions)
    monkeypatch.setattr(ptb, "LARGE_CHARACTERS", 0)
    assert ptb.tokenize_captions(captions) == plain
    monkeypatch.setattr(ptb, "lex_lines", None)  # these need no help from the plain lexer
    simple = [c for c in captions if "<" not in c and all(mark.isprintable() for mark in c)]
    assert len(ptb.tokenize_captions(simple)) == len(simple)


@pytest.mark.parametrize(
    ("captions", "tokens"),
    [
        ([], []),
        ([""], [[]]),
        (["", " ", "."], [[], [], []]),
        (["A (small) dog!"], [["a", "-lrb-", "small", "-rrb-", "dog"]]),
        (["{1} [2]"], [["-lcb-", "1", "-rcb-", "-lsb-", "2", "-rsb-"]]),
        (["3 1/2 inches"], [["3\u00a01/2", "inches"]]),
        (["(555) 123-4567"], [["-lrb-555-rrb-\u00a0123-4567"]]),
        (["he can't, cannot"], [["he", "ca", "n't", "can", "not"]]),
        # The next caption's first letter decides whether a period belongs to the word.
        (["vitamin C.", "The end"], [["vitamin", "c"], ["the", "end"]]),
        (["vitamin C.", "the end"], [["vitamin", "c."], ["the", "end"]]),
        (["No.", "5 dogs"], [["no."], ["5", "dogs"]]),
        (["No.", "five dogs"], [["no"], ["five", "dogs"]]),
        (["etc.", "the"], [["etc."], ["the"]]),
        # A tag over two captions is printed as it is, and cut by the line's end.
        (["<a b='c", "d'> e"], [["<a\u00a0b='c"], ["d'>", "e"]]),
        # Half of a character beyond the basic plane cannot be a token.
        (["a 😀 b"], [["a", "b"]]),
    ],
)
def test_quirks(captions: list[str], tokens: list[list[str]]) -> None:
    assert ptb.tokenize_captions(captions) == tokens


@pytest.mark.parametrize("mark", ptb.LINE_SEPARATORS)
def test_a_line_separator_within_a_caption_is_a_space(mark: str) -> None:
    captions = ["a b.", f"two{mark}lines", f"{mark}", "The dog"]
    assert ptb.tokenize_captions(captions) == [["a", "b."], ["two", "lines"], [], ["the", "dog"]]


def test_a_lone_surrogate_is_dropped_or_written_as_java_does() -> None:
    assert ptb.tokenize_captions(["a \ud800 b", "http://a\udfffb"]) == [["a", "b"], ["http://a?b"]]


# In quadratic time, a repeated piece of which every copy may begin something long takes hours.
@pytest.mark.parametrize("piece", ["a,", "&a", "a-b,", "<a b='", "x@", "www.a,", "'a"])
def test_repeated_pieces_take_linear_time(piece: str) -> None:
    compiled = number_tokens_compiled(piece * 200_000, 1, {})
    assert compiled is not None
    assert compiled.offsets.tolist() == [0, len(compiled.ids)]
    text = piece * 5_000
    vocabulary: dict[str, int] = {}
    compiled = number_tokens_compiled(text, 1, vocabulary)
    assert compiled is not None
    words = list(vocabulary)
    assert [[words[i] for i in compiled.ids]] == list(ptb.lex_lines(text))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.text("a,&@-./'<=b1 ", max_size=3), st.integers(1, 90)), max_size=3))
@example([("a,", 90), ("-", 1), ("a,", 90)])
def test_long_dead_ends_are_no_different(repeated: list[tuple[str, int]]) -> None:
    text = "".join(piece * times for piece, times in repeated)
    shared = Lexer(text)  # notes dead ends from one match to the next
    start = 0
    while start < len(text):
        match = shared.match(start)
        fresh = Lexer(text).match(start)
        assert (match.end, match.action) == (fresh.end, fresh.action)
        start = match.resume


def test_a_caption_of_a_million_characters() -> None:
    assert len(ptb.tokenize_captions(["dog. " * 200_000])[0]) == 200_000
    assert len(ptb.tokenize_captions(["x" * 10**6, "a", "." * 10**6])) == 3


@pytest.mark.parametrize(
    ("expression", "message"),
    [("a)", "unexpected"), ("<nothing>", "no expression is named"), ("(a", "expected")],
)
def test_a_mistake_in_an_expression_is_shown_with_its_place(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(expression, {})


def test_importing_the_tokenizer_imports_neither_numba_nor_the_grammar() -> None:
    code = (
        "import sys; from frostgrid.evaluate.captions import scores;"
        "scores.score_captions([1], ['a'], [['a dog']]);"
        "slow = {'numba', 'torch', 'frostgrid.evaluate.ptb.grammar.rules'};"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_after_a_space_only_more_white_space_belongs_to_the_match() -> None:
    # What lets the plain lexer take a word and the space after it for granted.
    table = load_lexer_table()
    state = table.transition[0, table.character_class[ord(" ")]]
    spaces = np.unique(table.character_class[[ord(c) for c in " \t\u00a0\u2003\u200a\u3000"]])
    reached = table.transition[state]
    assert np.flatnonzero(reached >= 0).tolist() == spaces.tolist()
    assert set(reached[spaces].tolist()) == {state}
    assert table.action[state] == Action.SKIP


def test_every_action_of_the_table_is_known() -> None:
    assert set(load_lexer_table().action.tolist()) <= {0, *Action}
