"""All tests, by several processes."""

from . import tests
from .record import Bench


def run(bench: Bench) -> None:
    """Say how they ended."""
    tests.run(bench, ["tests"])
