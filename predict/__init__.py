"""Inference with a trained run: a whole split, or one photo from outside the data set."""
