"""Settings of all tests: no property test fails for a slow machine."""

from hypothesis import settings

settings.register_profile("frostgrid", deadline=None, max_examples=50)
settings.load_profile("frostgrid")
