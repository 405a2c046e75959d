"""``mean-embed``: the pooled image and the mean of the word vectors."""

from torch import Tensor, nn

from ..base import VqaHead
from ..config import VqaHeadConfig
from ..layers.cells import Standardize
from ..layers.dropout import Dropout
from ..layers.fusion import Classifier, Fusion
from ..layers.growth import growth
from ..layers.question import MeanQuestion


class MeanEmbed(VqaHead):
    """Reads ``pooled`` only, so that the features of a whole training set are a few megabytes."""

    features = "pooled"

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.cells = Standardize(c.channels, c.standardize, unit=True)
        self.image_dropout = Dropout(c.image_dropout)
        self.project = nn.Linear(c.channels, c.hidden)
        self.growth = growth(c.growth)
        self.question = MeanQuestion(c.n_words, c.embedding, c.dropout)
        self.fusion = Fusion(c.fusion, c.hidden, self.question.width, c.hidden, c.dropout)
        self.classifier = Classifier(self.fusion.width, c.classifier, c.n_answers, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]`` from ``features`` ``[U, D]`` and questions ``[B, T]``."""
        seen = self.image_dropout(self.standardized(features))
        image = self.growth(self.project(seen))[image_index]  # [B, H]
        scores: Tensor = self.classifier(self.fusion(image, self.question(question, length)))
        return scores
