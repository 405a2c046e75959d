"""``lstm``: a gated grid and the LSTM's state at the last word."""

from torch import Tensor, nn

from .cells import SpatialGate, Standardize
from .config import VqaHeadConfig
from .dropout import Dropout
from .fusion import Classifier, Fusion
from .growth import growth
from .head import VqaHead
from .question import AttendedQuestion, LSTMQuestion


class LSTMHead(VqaHead):
    """A sigmoid gate weighs the cells before they are pooled; the question is read by an LSTM."""

    features = "grid"

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__()
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
        """What reads the question."""
        return LSTMQuestion(c.n_words, c.embedding, c.hidden, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, S, D]`` and questions ``[B, T]``."""
        assert features is not None
        seen = self.image_dropout(self.gate(self.cells(features)))
        image = self.growth(self.project(seen))[image_index]  # [B, H]
        scores: Tensor = self.classifier(self.fusion(image, self.question(question, length)))
        return scores
