"""A trained run asked about any photo: pictures of its attention, and a local web page."""
