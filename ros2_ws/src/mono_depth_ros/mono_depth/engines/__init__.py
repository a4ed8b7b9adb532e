"""What runs a network: PyTorch, OpenVINO or ONNX Runtime, whichever is fastest and right.

A model calls its network as before; `Engines.fit` puts an `EngineRunner` in the network's place.
"""

from mono_depth.engines.engines import Engines
from mono_depth.engines.report import EngineReport

__all__ = ["EngineReport", "Engines"]
