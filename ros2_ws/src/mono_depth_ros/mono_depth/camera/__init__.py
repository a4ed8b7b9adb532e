"""The camera: its lens, where it is, and where down is."""
