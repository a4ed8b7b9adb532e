"""One file per family of networks, and the parts that belong to one alone."""
