"""The tables and pictures of the built-in network's card."""
