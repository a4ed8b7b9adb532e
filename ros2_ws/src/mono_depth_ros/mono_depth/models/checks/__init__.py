"""Whether a model works here: on a picture, or against the original's numbers."""
