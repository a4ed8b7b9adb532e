"""What runs a network: PyTorch, OpenVINO or ONNX Runtime, whichever is fastest and right.

A model calls its network as before; `Engines.fit` puts an `EngineRunner` in the network's place.
"""
