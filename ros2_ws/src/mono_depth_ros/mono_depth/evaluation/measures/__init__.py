"""Measures of one depth map or one series against the truth."""
