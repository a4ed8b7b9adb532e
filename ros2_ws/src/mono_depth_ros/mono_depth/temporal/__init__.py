"""Depth that is calm over time, and no farther for it."""
