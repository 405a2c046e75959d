"""``lstm``: a gated grid and the LSTM's state at the last word."""

from torch import Tensor, nn

from ..base import VqaHead
from ..config import VqaHeadConfig
from ..layers.cells import SpatialGate, Standardize
from ..layers.dropout import Dropout
from ..layers.fusion import Classifier, Fusion
from ..layers.growth import growth
from ..layers.question import AttendedQuestion, LSTMQuestion


class LSTMHead(VqaHead):
    """A sigmoid gate weights the cells before they are pooled; an LSTM reads the question."""

    features = "grid"

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize)
        self.gate = SpatialGate(c.channels)
        self.image_dropout = Dropout(c.image_dropout)
        self.project = nn.Linear(c.channels, c.hidden)
        self.growth = growth(c.growth)
        self.question = self.make_question(c)
        self.fusion = Fusion(c.fusion, c.hidden, c.hidden, c.hidden, c.dropout)
        self.classifier = Classifier(self.fusion.width, c.classifier, c.n_answers, c.dropout)

    @staticmethod
    def make_question(c: VqaHeadConfig) -> LSTMQuestion | AttendedQuestion:
        """The encoder of the question."""
        return LSTMQuestion(c.n_words, c.embedding, c.hidden, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, S, D]`` and questions ``[B, T]``."""
        seen = self.image_dropout(self.gate(self.standardized(features)))
        image = self.growth(self.project(seen))[image_index]  # [B, H]
        scores: Tensor = self.classifier(self.fusion(image, self.question(question, length)))
        return scores
