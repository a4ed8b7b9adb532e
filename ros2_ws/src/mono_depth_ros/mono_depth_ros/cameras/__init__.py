"""Nodes that publish images: webcam, video, folder, bag, synthetic scene."""
