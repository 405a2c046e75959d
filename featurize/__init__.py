"""Images to one feature file: each image goes once through a frozen ResNet."""
