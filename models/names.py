"""Names of heads and of the blocks that learn with them, apart from torch: ``--help`` is quick."""

# Each head of ``registry.HEADS``, in the same order, and its task.
TASKS = {
    "question-only": "vqa",
    "mean-embed": "vqa",
    "lstm": "vqa",
    "question-attention": "vqa",
    "san": "vqa",
    "mcan": "vqa",
    "rnn-decoder": "caption",
    "show-attend-tell": "caption",
    "up-down": "caption",
    "transformer-decoder": "caption",
}

BEFORE = {"layer4": "layer3"}  # the stage whose cells a block goes on from
