"""Data sets: found on disk, decoded, checked and tokenised, without torch."""
