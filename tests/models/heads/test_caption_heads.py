import pytest
import torch
from frostgrid.models.config import CaptionHeadConfig
from frostgrid.models.layers.recurrent import lstm_step
from frostgrid.models.registry import HEADS
from torch.nn import functional

U, S, D, V, T = 3, 6, 8, 15, 9
NAMES = [name for name, head in HEADS.items() if head.task == "caption"]


def build(name, **settings):
    torch.manual_seed(0)
    small = {"embedding": 8, "hidden": 16, "attention": 8, "dropout": 0.0}
    return HEADS[name](CaptionHeadConfig(V, D, **{**small, **settings}))


def example(name):
    g = torch.Generator().manual_seed(1)
    shape = (U, S, D) if HEADS[name].features == "grid" else (U, D)
    features = torch.rand(*shape, generator=g)
    image_index = torch.tensor([0, 0, 1, 2, 2])
    length = torch.tensor([3, 9, 5, 7, 2])
    tokens = torch.randint(4, V, (5, T), generator=g)
    tokens[:, 0] = 2
    tokens[torch.arange(5), length - 1] = 3
    tokens[torch.arange(T) >= length[:, None]] = 0
    return features, image_index, tokens, length


@pytest.mark.parametrize("name", NAMES)
def test_pads_are_neither_read_nor_scored(name):
    head = build(name).eval()
    features, image_index, tokens, length = example(name)
    out = head(features, image_index, tokens, length)
    assert len(out.scores) == int((length - 1).sum())
    assert (out.target != 0).all()
    other = tokens.clone()
    other[torch.arange(T) >= length[:, None]] = 7
    changed = head(features, image_index, other, length)
    torch.testing.assert_close(changed.scores, out.scores)
    torch.testing.assert_close(changed.target, out.target)


@pytest.mark.parametrize("name", NAMES)
def test_teacher_forcing_equals_single_steps(name):
    head = build(name).eval()
    features, image_index, tokens, length = example(name)
    loss = total = 0.0
    for b in range(5):
        encoded = head.encode(features[image_index[b]][None])
        zero = torch.tensor([0])
        state = head.initial(encoded, zero)
        for t in range(int(length[b]) - 1):
            output, state, _ = head.step(encoded, zero, head.read(tokens[b, t : t + 1]), state)
            loss += functional.cross_entropy(head.scores(output), tokens[b, t + 1 : t + 2])
            total += 1
    out = head(features, image_index, tokens, length)
    mean = functional.cross_entropy(out.scores, out.target)
    torch.testing.assert_close(mean, loss / total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls_on_five_captions(name):
    head = build(name)
    features, image_index, tokens, length = example(name)
    head.fit_features(features)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        out = head(features, image_index, tokens, length)
        loss = functional.cross_entropy(out.scores, out.target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if losses[-1] < 0.25 * losses[0]:
            break
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize("name", [name for name in NAMES if HEADS[name].has_attention])
def test_every_step_attends_once(name):
    head = build(name).eval()
    features, image_index, tokens, _ = example(name)
    encoded = head.encode(features)
    state = head.initial(encoded, image_index)
    for words in tokens.T[:3]:
        _, state, attention = head.step(encoded, image_index, head.read(words), state)
        assert attention.shape == (5, S)
        torch.testing.assert_close(attention.sum(1), torch.ones(5))


@pytest.mark.parametrize("name", ["show-attend-tell", "up-down"])
def test_the_penalised_attention_is_that_of_all_steps(name):
    features, image_index, tokens, length = example(name)
    attention_sum = build(name).eval()(features, image_index, tokens, length).attention_sum
    torch.testing.assert_close(attention_sum.sum(1), (length - 1).float())


def test_lstm_step_is_that_of_torch():
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(5, 7)
    x, h, c = torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7)
    gates = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    for mine, theirs in zip(lstm_step(gates, c), cell(x, (h, c)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_show_attend_tell_steps_as_the_paper_says():
    """Equations 4 to 6, 8 and 9 of Xu et al. (2015), written out."""
    head = build("show-attend-tell", standardize=False).eval()
    features, image_index, tokens, _ = example("show-attend-tell")
    encoded = head.encode(features)
    h, c = head.initial(encoded, image_index)
    a = features[image_index]  # [B, S, D]
    e = torch.tanh(head.attend_cells(a) + head.attend_state(h)[:, None]) @ head.weight
    alpha = e.softmax(1)
    z = torch.sigmoid(head.beta(h)) * (alpha[:, :, None] * a).sum(1)
    words = head.embed(tokens[:, 0])
    gates = head.word_gates(words) + head.seen_gates(z) + head.state_gates(h)
    expected, _ = lstm_step(gates, c)
    found, _, attention = head.step(encoded, image_index, head.read(tokens[:, 0]), (h, c))
    torch.testing.assert_close(attention, alpha)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_sampling_feeds_back_own_words(name):
    features, image_index, tokens, length = example(name)
    given = build(name)
    own = build(name, sampling=1.0)
    one = given(features, image_index, tokens, length)
    other = own(features, image_index, tokens, length)
    in_one_call = name in ("rnn-decoder", "transformer-decoder")
    assert (one.target == other.target).all() or in_one_call
    assert one.scores.shape == other.scores.shape
    assert not torch.equal(one.scores.sort(0).values, other.scores.sort(0).values)


def test_one_image_can_be_trained_on():
    head = build("rnn-decoder")
    out = head(torch.rand(1, D), torch.tensor([0]), torch.tensor([[2, 5, 3]]), torch.tensor([3]))
    assert torch.isfinite(out.scores).all()
