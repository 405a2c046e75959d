"""Ask a run about a photo, and see where it looked: pictures and a local page."""
