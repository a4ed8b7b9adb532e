"""The built-in network: trained by this project, shipped with it."""
