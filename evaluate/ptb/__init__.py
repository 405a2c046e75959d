"""The caption tokenizer of the official evaluation, without Java."""
