"""What torchvision's ResNet weights were trained with: its input's mean and spread, per channel."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
