"""JPEGs and other images to batches of pixels, on the CPU or on a GPU."""
