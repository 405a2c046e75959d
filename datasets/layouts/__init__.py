"""The layouts in which data sets come, recognised by what a file holds and read as official ones."""
