"""The heads, one paper a file; torch is all they import."""
