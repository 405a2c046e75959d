"""frostgrid: look at every image once, then train VQA and captioning heads in minutes."""

from importlib.metadata import version

__version__ = version("frostgrid")
