"""The heads, one file each, named after their papers."""
