"""Depth for people to look at: colours, views of clouds, videos, files."""
