"""What the depth node sees, in a browser: newest frame only, at no cost to the node."""
