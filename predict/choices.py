"""Choices of ``predict``, apart from torch so that ``--help`` answers at once."""

BEAM, MAX_LENGTH, LENGTH_POWER = 5, 20, 1.0
FORMATS = ("json", "jsonl", "csv")  # of a result file; the official one first
