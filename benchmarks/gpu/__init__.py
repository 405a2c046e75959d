"""What a GPU machine shows of the product in one command: see ``__main__``."""
