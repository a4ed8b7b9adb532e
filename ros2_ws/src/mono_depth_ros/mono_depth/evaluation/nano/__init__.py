"""The tables and images of the built-in network's card."""
