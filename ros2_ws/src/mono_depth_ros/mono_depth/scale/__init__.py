"""Metric scale: where metres come from, how sure they are, and what to do without them."""
