"""Depth compared with ground truth."""
