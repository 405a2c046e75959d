"""Benchmarks: what the project claims, measured beside the alternatives."""

from frostgrid.process import set_environment

set_environment()  # as the commands do, before PyTorch is imported
