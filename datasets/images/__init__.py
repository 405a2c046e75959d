"""The images of a data set: which files there are, and which image each one is."""
