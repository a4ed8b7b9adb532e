"""What networks are held to: pseudo-random weights, and numbers of the original code."""
