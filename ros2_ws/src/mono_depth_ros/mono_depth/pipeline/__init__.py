"""From a frame to its depth: the network, the metric scale, the temporal filter."""
