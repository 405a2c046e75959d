"""Derived files of these tests go into a folder of their own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FROSTGRID_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
