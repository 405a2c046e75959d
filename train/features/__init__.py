"""The features that a head trains on: which files, whether of these images, and their rows."""
