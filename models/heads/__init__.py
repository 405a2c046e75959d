"""The heads, one a file, each named after its paper."""
