"""``python -m frostgrid`` is the ``frostgrid`` command."""

from .cli import main

if __name__ == "__main__":
    main()
