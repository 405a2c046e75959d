import pytest
import torch
from frostgrid.models.layers.prefixes import find_prefixes, read_prefixes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn


def batch(questions: list[list[int]]) -> tuple[Tensor, Tensor]:
    length = torch.tensor([len(words) for words in questions], dtype=torch.int64)
    question = torch.zeros(len(questions), max(map(len, questions), default=0) + 1).long()
    for row, words in zip(question, questions, strict=True):
        row[: len(words)] = torch.tensor(words)
        row[len(words) :] = 99  # whatever stands behind the last word is not read
    return question, length


QUESTIONS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), max_size=12)


@settings(max_examples=50, deadline=None)
@given(questions=QUESTIONS)
def test_every_beginning_is_there_once(questions) -> None:
    prefixes = find_prefixes(*batch(questions))
    beginnings: list[tuple[int, ...]] = []
    words = iter(prefixes.word.tolist())
    before: list[tuple[int, ...]] = [()]
    for level in prefixes.levels:
        assert len(level.parent) == level.n
        going_on = [before[i] for i in level.used]
        before = [(*going_on[parent], next(words)) for parent in level.parent]
        beginnings += before
    expected = {tuple(q[: t + 1]) for q in questions for t in range(len(q))}
    assert len(beginnings) == len(expected)
    assert set(beginnings) == expected
    for rows, words_of in zip(prefixes.row, questions, strict=True):
        for t in range(len(words_of)):
            assert beginnings[rows[t]] == tuple(words_of[: t + 1])
        assert (rows[len(words_of) :] == 0).all()


@settings(max_examples=20, deadline=None)
@given(questions=QUESTIONS.filter(len), seed=st.integers(0, 99))
def test_states_and_gradients_equal_the_lstm_s(questions, seed) -> None:
    torch.manual_seed(seed)
    embed = nn.Embedding(100, 5)
    lstm = nn.LSTM(5, 7, batch_first=True)
    question, length = batch(questions)
    prefixes = find_prefixes(question, length)
    known = read_prefixes(lstm, embed(prefixes.word), prefixes)
    ours, theirs = [], []
    for rows, words in zip(prefixes.row, questions, strict=True):
        ours.append(known[rows[: len(words)]])
        state = torch.zeros(1, 7), torch.zeros(1, 7)
        for word in words:
            vector = embed(torch.tensor([word]))
            state = torch.lstm_cell(vector, state, *lstm.all_weights[0])
            theirs.append(state[0])
    ours, theirs = torch.cat(ours), torch.cat(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    weights = torch.randn_like(ours)
    parameters = [embed.weight, *lstm.parameters()]
    found, expected = (
        torch.autograd.grad((states * weights).sum(), parameters, materialize_grads=True)
        for states in (ours, theirs)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_questions_that_begin_alike_are_read_once() -> None:
    questions = [[1, 2, 3, n] for n in range(4, 20)] + [[1, 2]]
    assert len(find_prefixes(*batch(questions)).word) == 3 + 16


def test_bfloat16() -> None:
    torch.manual_seed(0)
    lstm = nn.LSTM(8, 8, batch_first=True)
    question, length = batch([[1, 2, 3], [1, 2], [4, 4, 4, 4]])
    embed = nn.Embedding(100, 8)
    prefixes = find_prefixes(question, length)
    exact = read_prefixes(lstm, embed(prefixes.word), prefixes)
    with torch.autocast("cpu", torch.bfloat16):
        states = read_prefixes(lstm, embed(prefixes.word), prefixes)
    assert states.dtype == torch.bfloat16
    torch.testing.assert_close(states.float(), exact, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("n_words", [10, 2**20])
def test_no_question_at_all(n_words) -> None:
    question = torch.zeros(0, 3, dtype=torch.int64)
    prefixes = find_prefixes(question, torch.zeros(0, dtype=torch.int64))
    assert prefixes.levels == []
    assert len(prefixes.word) == 0
    # And one whose word has a large number.
    prefixes = find_prefixes(torch.full((2, 1), n_words), torch.ones(2, dtype=torch.int64))
    assert prefixes.word.tolist() == [n_words]
