"""How the built-in network is trained: synthetic scenes only, one command."""
