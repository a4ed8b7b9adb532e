"""The depth node: image in, depth, clouds and diagnostics out."""
