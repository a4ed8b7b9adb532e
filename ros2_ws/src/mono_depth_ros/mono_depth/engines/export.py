"""Networks as ONNX files of fixed shape.

PyTorch has two exporters. That of `torch.export` is the one that is developed further; it is
there from torch 2.6 on and needs the package onnxscript. Before that there is only the one that
traces TorchScript, which newer versions still have but give up; it needs nothing else. Both give
the same values for all of our networks.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mono_depth.engines.protocol import EngineError, Network, NotInstalledError, Tensors

_FIRST_WITH_EXPORT = (2, 6)
_OPSET = 18  # the lowest of the newer exporter
_TRACED_OPSET = 17  # the highest of torch 2.1
_TALKATIVE = ("torch.onnx", "torch._export", "onnxscript", "onnx_ir")  # loggers


def export_onnx(
    module: nn.Module,
    inputs: Tensors,
    path: Path,
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    traced: bool | None = None,
) -> None:
    """Write a network of tensors to an ONNX file that holds its weights, too.

    Args:
        module: on the CPU, in float32; it is put into evaluation mode.
        inputs: an example; the file takes tensors of these shapes and no others.
        path: of the file; it is there whole or not at all.
        input_names: of the inputs in the file.
        output_names: of the outputs in the file.
        traced: by TorchScript; None = where this torch has no better exporter.

    Raises:
        EngineError: torch cannot export this network, or a package is missing.
    """
    if traced is None:
        traced = _torch_version() < _FIRST_WITH_EXPORT
    for package in ("onnx",) if traced else ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise NotInstalledError(f"the export to ONNX needs {package}: pip install {package}")
    module.eval()  # as a whole: else the exporter leaves all of it in training mode
    with torch.no_grad():
        module(*inputs)  # what a network computes once for a size becomes a constant of the file
    options: dict[str, Any] = {
        "input_names": list(input_names),
        "output_names": list(output_names),
        "opset_version": _TRACED_OPSET if traced else _OPSET,
        **_flavour(traced=traced),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / path.name
        try:
            with torch.no_grad(), _silence(), _unfused():
                torch.onnx.export(module, inputs, str(made), **options)
        except Exception as error:  # each layer of the exporters has errors of its own
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise EngineError(f"torch cannot export the network to ONNX: {reason}") from error
        made.replace(path)


def exported(network: Network, path: Path) -> None:
    """Write a network to an ONNX file in the faster of the two ways.

    Raises:
        EngineError: torch cannot export it.
    """
    module, inputs = network.on_cpu()
    with torch.inference_mode(False):
        with torch.no_grad():
            count = len(module(*inputs))
        export_onnx(
            module,
            inputs,
            path,
            input_names=network.input_names,
            output_names=[f"output{index}" for index in range(count)],
            traced=True,  # in a third of the time, and without onnxscript
        )


def _torch_version() -> tuple[int, int]:
    major, minor = torch.__version__.split(".")[:2]
    return int(major), int(minor)


def _flavour(*, traced: bool) -> dict[str, Any]:
    """Return the arguments that choose the exporter; torch before 2.5 has no choice."""
    if not traced:
        return {"dynamo": True, "external_data": False, "verbose": False}
    return {"dynamo": False} if _torch_version() >= (2, 5) else {}


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep away what the exporters say: progress, graphs of thousands of lines, deprecations."""
    levels = {name: logging.getLogger(name).level for name in _TALKATIVE}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Let transformer layers run operation by operation: no exporter knows the fused one."""
    if not hasattr(torch.backends, "mha"):  # before torch 2.3
        yield
        return
    backend = torch.backends.mha
    before = backend.get_fastpath_enabled()
    backend.set_fastpath_enabled(False)
    try:
        yield
    finally:
        backend.set_fastpath_enabled(before)
