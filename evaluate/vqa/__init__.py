"""The official VQA accuracy."""
