"""How fast the node is, measured from another process."""
