"""frostgrid: look at every image once, then train VQA and captioning heads in minutes."""

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when it is asked for: reading metadata takes longer than all the rest."""
    if name == "__version__":
        from importlib.metadata import version

        return version("frostgrid")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
