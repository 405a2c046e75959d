"""Runs side by side: ranking, plots, examples, one HTML page, and published reports reproduced."""
