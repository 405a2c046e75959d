"""The user's cache folder."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where derived files are kept between runs: ``FROSTGRID_CACHE``, else the user's cache."""
    override = os.environ.get("FROSTGRID_CACHE")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("frostgrid")
