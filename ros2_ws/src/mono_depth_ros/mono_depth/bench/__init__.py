"""How fast the pipeline and its networks are on this machine."""
