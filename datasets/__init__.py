"""The sets people have: found on disk, decoded, checked, tokenised; no torch here."""
