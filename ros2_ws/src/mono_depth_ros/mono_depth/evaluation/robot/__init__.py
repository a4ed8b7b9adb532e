"""How good what a robot steers by is: scans of depth against those of a depth sensor."""
