"""How heads are trained elsewhere, rebuilt from published designs, each at its best settings."""
