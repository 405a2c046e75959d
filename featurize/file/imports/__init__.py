"""Features that others extracted, read from their formats into a feature file."""
