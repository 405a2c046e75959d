"""The one exception that stands for bad input."""


class InputError(ValueError):
    """Input that cannot be used: one sentence with the value, what was expected and what to do.

    The command line prints the sentence and exits with 1; every other exception is a defect.
    """
