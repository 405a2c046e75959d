"""Images become one feature file: a frozen ResNet looks at each of them once."""
