"""What a run is told: its config, and the recipes of the heads."""
