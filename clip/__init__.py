"""CLIPScore: captions against the images themselves, by a CLIP network that the user has."""
