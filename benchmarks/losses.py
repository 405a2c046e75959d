"""The losses: ours beside PyTorch's operations.

``python -m benchmarks.losses [--rounds N]``: the words of 100 captions over 9,490, and 512
questions with 3 answers each over 3,129, bfloat16 scores as autocast gives them, forward and
backward.
"""

from collections.abc import Callable

import click
import torch
from frostgrid.models.layers.additive_attention import kernels
from frostgrid.train.tasks.losses import soft_cross_entropy, word_cross_entropy
from torch import Tensor

from .interleaved import machine, print_table, time_in_turns


def cases(scores: Tensor, loss: Callable[[Tensor], Tensor]) -> dict[str, Callable[[], object]]:
    scores.requires_grad_()

    def ours() -> object:
        return torch.autograd.grad(loss(scores), scores)

    def plain() -> object:
        with kernels("plain"):
            return torch.autograd.grad(loss(scores), scores)

    return {"ours": ours, "PyTorch's operations": plain}


def caption_cases(n_words: int = 1150, vocabulary: int = 9490) -> dict[str, Callable[[], object]]:
    word = torch.randint(vocabulary, (n_words,))
    scores = torch.randn(n_words, vocabulary, dtype=torch.bfloat16)
    return cases(scores, lambda x: word_cross_entropy(x, word))


def vqa_cases(n_questions: int = 512, answers: int = 3129) -> dict[str, Callable[[], object]]:
    row = torch.arange(n_questions).repeat_interleave(3)
    answer = torch.randint(answers, (len(row),))
    weight = torch.rand(len(row))
    scores = torch.randn(n_questions, answers, dtype=torch.bfloat16)
    return cases(scores, lambda x: soft_cross_entropy(x, row, answer, weight))


@click.command()
@click.option("--rounds", default=30, show_default=True, help="How often each is timed.")
def main(rounds: int) -> None:
    """The losses: ours beside PyTorch's operations."""
    torch.manual_seed(0)
    print(machine())
    for name, made in (("words", caption_cases()), ("soft answers", vqa_cases())):
        title = f"Cross-entropy of {name}: bfloat16, forward + backward"
        print_table(title, time_in_turns(made, rounds), "ours")


if __name__ == "__main__":
    main()
