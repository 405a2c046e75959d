"""The feature file: its layout, and how it is written, read, verified, converted and joined."""
