"""``question-only``: answers without the image; the control for heads that read one."""

from torch import Tensor

from ..base import VqaHead
from ..config import VqaHeadConfig
from ..layers.fusion import Classifier
from ..layers.question import question_encoder


class QuestionOnly(VqaHead):
    """The question's vector, classified."""

    features = "none"

    def __init__(self, config: VqaHeadConfig) -> None:
        super().__init__(config)
        c = config
        self.question = question_encoder(c.question, c.n_words, c.embedding, c.hidden, c.dropout)
        self.classifier = Classifier(self.question.width, c.classifier, c.n_answers, c.dropout)

    def forward(
        self, features: Tensor | None, image_index: Tensor, question: Tensor, length: Tensor
    ) -> Tensor:
        """Answer scores ``[B, A]``; features and image index are ignored."""
        scores: Tensor = self.classifier(self.question(question, length))
        return scores
