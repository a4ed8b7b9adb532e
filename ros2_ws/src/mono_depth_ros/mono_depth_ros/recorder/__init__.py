"""The recorder: what the depth node publishes, as files for people."""
