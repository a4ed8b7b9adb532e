"""What may be asked of engines: their names, precisions, and how wrong int8 may be."""

ENGINES = ("torch", "openvino", "onnxruntime")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
DEFAULT_MAX_ERROR = 0.02  # of the outputs of an int8 network, in shares of their range
