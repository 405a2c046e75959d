"""Runs side by side: rankings, charts, examples and pages."""
