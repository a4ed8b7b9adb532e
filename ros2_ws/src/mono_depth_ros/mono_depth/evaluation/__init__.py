"""How good depth is, measured against the truth."""
