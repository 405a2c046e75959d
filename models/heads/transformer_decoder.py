"""``transformer-decoder``: a transformer over words and cells (Vaswani et al., 2017), pre-norm."""

import torch
from torch import Tensor, nn

from ..base import CaptionHead, Encoded, State, TeacherForcedOutput
from ..config import CaptionHeadConfig
from ..layers.cells import Standardize, layer_dtype
from ..layers.dropout import Dropout
from ..layers.packing import group_by_image, packs, words_of
from ..layers.padding import next_words, shapes_are_fixed
from ..layers.question import token_mask
from ..layers.transformer import (
    CellAttention,
    CellMemory,
    FeedForward,
    Memory,
    SelfAttention,
    sinusoids,
)


class Layer(nn.Module):
    """Attention to the words before, attention to the cells, and a layer on each word alone."""

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__()
        c = config
        self.attend = SelfAttention(c.hidden, c.heads, c.layer_dropout)
        self.look = CellAttention(c.hidden, c.heads, c.layer_dropout)
        self.think = FeedForward(c.hidden, c.feed_forward, c.layer_dropout)


class TransformerDecoder(CaptionHead):
    """All words of a caption at once in training, one a step in a search.

    A search keeps the keys and values of the words before as the decoder's state. The attention of
    a step is that of the last layer, averaged over the heads.
    """

    features = "grid"
    has_attention = True

    def __init__(self, config: CaptionHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.memory = CellMemory(c.channels, c.hidden, c.heads)
        self.embed = nn.Embedding(c.n_words, c.embedding)
        self.word_dropout = Dropout(c.word_dropout)
        self.enter = nn.Linear(c.embedding, c.hidden)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.hidden)
        self.dropout = Dropout(c.dropout)
        self.out = nn.Linear(c.hidden, c.n_words)

    def encode(self, features: Tensor) -> Encoded:
        """See :class:`CaptionHead`: ``cells`` are the memory's values, ``projected`` its keys."""
        memory = self.memory(self.standardized(features))
        return Encoded(memory.values, memory.keys, memory.values.mean(2).flatten(1))

    def initial(self, encoded: Encoded, image_index: Tensor) -> State:
        """See :class:`CaptionHead`: each layer's keys and values, of no word yet."""
        device = image_index.device
        shape = len(image_index), 0, self.config.hidden
        empty = torch.empty(shape, device=device, dtype=layer_dtype(device))
        return (empty,) * (2 * self.config.layers)

    def read(self, words: Tensor) -> Tensor:
        """See :class:`CaptionHead`: the words without their positions."""
        vectors: Tensor = self.enter(self.word_dropout(self.embed(words)))
        return vectors

    def prepare(self, encoded: Encoded, image_index: Tensor, state: State) -> State:
        """See :class:`CaptionHead`: nothing."""
        return state

    def finish(
        self, encoded: Encoded, image_index: Tensor, prepared: State, word: Tensor
    ) -> tuple[Tensor, State, Tensor]:
        """See :class:`CaptionHead`."""
        by_image, image = group_by_image(image_index, len(encoded.mean))
        memory = self._memory(encoded).of(image)
        position = torch.full((1,), prepared[0].shape[1], device=word.device)
        x = word.float() + sinusoids(position, self.config.hidden)
        state: list[Tensor] = []
        for i, layer in enumerate(self._layers()):
            before, cache = layer.attend.step(x, (prepared[2 * i], prepared[2 * i + 1]))
            state += cache
            x = layer.think(layer.look(before, by_image, memory))
        attention = layer.look.weights(before, by_image, memory)
        return self.norm(x), tuple(state), attention

    def forward(
        self, features: Tensor, image_index: Tensor, tokens: Tensor, length: Tensor
    ) -> TeacherForcedOutput:
        """See :class:`CaptionHead`: all steps at once, unless words are drawn on the way."""
        if self.training and self.sampling:
            return super().forward(features, image_index, tokens, length)
        encoded = self.encode(features)
        n_texts, n_tokens = len(tokens), tokens.shape[1] - 1
        words = words_of(length - 1, n_tokens, image_index, len(encoded.mean))
        memory = self._memory(encoded).of(words.image)
        said = words.by_text.pack(tokens[:, :-1, None]).squeeze(1)
        place = torch.arange(n_tokens, device=tokens.device)
        places = sinusoids(place, self.config.hidden).expand(n_texts, -1, -1)
        x = self.read(said).float() + words.by_text.pack(places)
        for layer in self._layers():
            x = layer.attend(x, words.by_text, None)
            x = layer.think(layer.look(x, words.by_image, memory))
        return self._scored(x, tokens, length)

    def _scored(self, x: Tensor, tokens: Tensor, length: Tensor) -> TeacherForcedOutput:
        """The scores of rows ``[P, H]``, without those of pads unless shapes are fixed."""
        target, n_tokens = next_words(tokens, length).flatten(), tokens.shape[1] - 1
        if shapes_are_fixed():
            position = torch.arange(len(target), device=tokens.device)
        else:
            position = token_mask(length.cpu() - 1, n_tokens).flatten().nonzero().squeeze(1)
            position = position.to(tokens.device, non_blocking=True)
            x = x[: len(position)] if packs(tokens.device) else x.index_select(0, position)
            target = target.index_select(0, position)
        return TeacherForcedOutput(self.scores(self.norm(x)), target, position // n_tokens, None)

    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    @staticmethod
    def _memory(encoded: Encoded) -> Memory:
        assert isinstance(encoded.projected, Tensor)
        assert isinstance(encoded.cells, Tensor)
        return Memory(encoded.projected, encoded.cells)

    def scores(self, output: Tensor) -> Tensor:
        """See :class:`CaptionHead`."""
        scores: Tensor = self.out(self.dropout(output))
        return scores
