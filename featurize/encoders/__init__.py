"""The weights of frozen networks, and networks beyond torchvision's ResNets."""
