"""What depth is turned into: the image's size, holes and their reasons, point clouds."""
