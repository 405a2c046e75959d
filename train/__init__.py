"""A feature file and a data set become a run folder."""
