"""What other sensors and frames know at the stamp of an image."""
