"""Depth and points as files that other programs open."""
