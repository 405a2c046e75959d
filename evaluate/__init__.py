"""Predictions and references become numbers, exact to the official evaluators; never torch."""
