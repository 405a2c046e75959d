"""The layouts in which data sets come: recognised by what a file holds, read as official ones."""
