"""The feature file: its layout, writing, reading, checking, converting and joining."""
