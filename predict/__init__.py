"""A run folder becomes predictions, pictures and comparisons."""
