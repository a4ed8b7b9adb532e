"""What can be read: recordings with known depth, and images without."""
