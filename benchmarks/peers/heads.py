"""The same heads as ours, as eager PyTorch is written: a row of features for every text.

They hold our heads' own modules and parameters and compute the same function; only nothing is
shared between the questions of an image, and no kernel of ours is used.
"""

import torch
from frostgrid.models.heads.mean_embed import MeanEmbed
from frostgrid.models.heads.san import SAN
from frostgrid.models.heads.show_attend_tell import ShowAttendTell
from frostgrid.models.layers.question import token_mask
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence


def with_plain_dropout(head: nn.Module) -> nn.Module:
    """Put PyTorch's own dropout in the place of whatever the head uses."""
    for module in list(head.modules()):
        for name, child in module.named_children():
            if type(child).__name__ == "Dropout":
                setattr(module, name, nn.Dropout(child.p))  # type: ignore[arg-type]
    return head


def standardize(cells: Tensor, module: nn.Module, unit: bool) -> Tensor:
    cells = (cells.float() - module.mean) * module.inverse_deviation  # type: ignore[operator]
    if unit:
        cells = cells * torch.rsqrt(cells.square().mean(-1, keepdim=True) + 1e-6)
    return cells


class PlainSAN(nn.Module):
    """Two hops over ``[B, 196, D]``, questions read by a packed LSTM."""

    def __init__(self, san: SAN) -> None:
        super().__init__()
        self.san = with_plain_dropout(san)

    def forward(self, features: Tensor, question: Tensor, length: Tensor) -> Tensor:
        san = self.san
        cells = standardize(features, san.cells, unit=False)
        asked = last_state(san.question, question, length)
        glance = san.whole
        seen = glance.growth(glance.project(glance.dropout(glance.norm(cells.mean(1)))))
        for hop in san.hops:
            query = hop.query(asked + seen)
            scores = torch.tanh(hop.cells(cells) + query[:, None]) @ hop.weight
            where = scores.float().softmax(1)
            found = hop.dropout((where[:, None] @ cells).squeeze(1))
            seen = seen + hop.growth(hop.value(found))
        return san.classifier(san.fusion(seen, asked))


def last_state(encoder: nn.Module, question: Tensor, length: Tensor) -> Tensor:
    words = encoder.dropout(torch.tanh(encoder.embed(question)))
    packed = pack_padded_sequence(words, length.cpu(), batch_first=True, enforce_sorted=False)
    _, (state, _) = encoder.lstm(packed)
    return state[0]


class PlainMeanEmbed(nn.Module):
    """The pooled image ``[B, D]`` and the mean of the word vectors."""

    def __init__(self, head: MeanEmbed) -> None:
        super().__init__()
        self.head = with_plain_dropout(head)

    def forward(self, features: Tensor, question: Tensor, length: Tensor) -> Tensor:
        head = self.head
        seen = head.image_dropout(standardize(features, head.cells, unit=True))
        image = head.growth(head.project(seen))
        vectors = functional.embedding(question, head.question.embed.weight, padding_idx=0)
        mean = vectors.sum(1) / length[:, None]
        return head.classifier(head.fusion(image, head.question.dropout(mean)))


class PlainShowAttendTell(nn.Module):
    """A decoder whose captions are sorted by length, so that each step runs those that go on."""

    def __init__(self, head: ShowAttendTell) -> None:
        super().__init__()
        self.head = with_plain_dropout(head)

    def forward(
        self, features: Tensor, tokens: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores ``[P, V]``, their words ``[P]``, and what was looked at ``[B, 196]``."""
        head = self.head
        order = torch.argsort(length, descending=True)
        tokens, length = tokens[order], length[order]
        cells = standardize(features[order], head.cells, unit=False)
        projected = head.attend_cells(cells)
        hidden, cell = torch.tanh(head.enter(cells.mean(1))).float().chunk(2, 1)
        words = head.word_gates(head.word_dropout(head.embed(tokens[:, :-1])))
        outputs, looked = [], cells.new_zeros(cells.shape[:2])
        for step in range(int(length.max()) - 1):
            n = int((length - 1 > step).sum())
            hidden, cell = hidden[:n], cell[:n]
            query = head.attend_state(hidden)
            scores = torch.tanh(projected[:n] + query[:, None]) @ head.weight
            where = scores.float().softmax(1)
            looked = looked + functional.pad(where, (0, 0, 0, len(cells) - n))
            seen = torch.sigmoid(head.beta(hidden)) * (where[:, None] @ cells[:n]).squeeze(1)
            gates = words[:n, step] + head.seen_gates(seen) + head.state_gates(hidden)
            enter, forget, new, out = gates.float().chunk(4, 1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            outputs.append(hidden)
        real = token_mask(length - 1, tokens.shape[1] - 1)
        target = torch.cat([tokens[: len(o), t + 1] for t, o in enumerate(outputs)])
        assert len(target) == int(real.sum())
        return head.scores(torch.cat(outputs)), target, looked
