"""A stream of frames: which are late, and how the newest one reaches the worker."""
