"""Float32 that is float32 on a GPU as well."""

from __future__ import annotations

import torch


def use_true_fp32() -> None:
    """Let no layer of a network in fp32 compute in TF32, which keeps 10 of 23 bits.

    cuDNN does so for convolutions unless it is told not to. Engines are compared with the network
    in fp32, and "torch fp32" shall be what it says; speed is what fp16 and bf16 are for.

    Source: PyTorch, "CUDA semantics", TensorFloat-32 on Ampere and later devices.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
