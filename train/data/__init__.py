"""From questions, captions and features to batches."""
