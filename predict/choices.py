"""The beam search's defaults, apart from torch so that ``--help`` answers at once."""

BEAM, MAX_LENGTH, LENGTH_POWER = 5, 20, 1.0
