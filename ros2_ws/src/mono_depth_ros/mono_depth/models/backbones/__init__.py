"""Encoders and decoders that several families share."""
