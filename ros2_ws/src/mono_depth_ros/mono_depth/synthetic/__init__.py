"""Synthetic cameras: procedural scenes with exact depth, poses and sparse points."""
