"""A pretend CUDA device: real arithmetic on the CPU behind tensors that say `cuda:0`.

It refuses what CUDA refuses: tensors of two devices in one operation, NumPy views of a device
tensor, whatever waits or copies while this thread captures a graph, and a device that is
synchronised while any thread does. It counts copies, waits and kernels by the line of the library
that caused them. A CUDA graph is a list of operations that are repeated in the same memory.

What it cannot show: speed, overlap, TensorRT, ONNX Runtime on a GPU, and `torch.compile`, which
fails here as where there is no compiler.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from sys import _getframe
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from pretend_autocast import PretendAutocast

CUDA = torch.device("cuda", 0)
_NO_KERNEL = {
    "aten::empty.memory_format",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::resize_",
}
_WAITS = {  # the size of the result, or an error, is known to the device only
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_consecutive",
    "aten::_linalg_check_errors",
    "aten::repeat_interleave.Tensor",
    "aten::equal",
    "aten::is_nonzero",
    "aten::bincount",
    "aten::histc",
}
_ONE_KERNEL = {"aten::scaled_dot_product_attention", "aten::linear"}  # not taken apart
_OF_NUMBERS = {  # made by C++ beside a tensor of the device
    "aten::scalar_tensor",
    "aten::full",
    "aten::arange",
    "aten::arange.start",
    "aten::arange.start_step",
}
_INDEXING = {
    "aten::index.Tensor",
    "aten::index_put_",
    "aten::index_put",
    "aten::_index_put_impl_",
}


class PretendGpu:
    """What the device was asked for since `reset`; each counter goes by file and line."""

    def __init__(self) -> None:
        self.full_in = ""  # memory runs out in files of the library whose path holds this text
        self._thread = threading.local()
        self._captures: list[_Graph] = []  # underway, in any thread
        self.reset()

    def reset(self) -> None:
        """Start counting anew."""
        self.uploads: Counter[str] = Counter()
        self.downloads: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()  # without a copy
        self.stalls: Counter[str] = Counter()  # all that the host waits for
        self.kernels: Counter[str] = Counter()
        self.bytes_up = self.bytes_down = 0
        self.launched = self.finished = 0  # numbers of the newest kernels

    @property
    def is_capturing(self) -> bool:
        """Whether this thread captures a graph."""
        return getattr(self._thread, "graph", None) is not None

    def record(self, *operation) -> None:
        """Add to the graph; with the shapes of now, for some operations change those in place."""
        if self.is_capturing:
            flat, spec = tree_flatten(operation)
            flat = [item.detach() if isinstance(item, torch.Tensor) else item for item in flat]
            self._thread.graph.tape.append(tree_unflatten(flat, spec))

    def launch(self) -> None:
        place = where()
        if self.full_in and self.full_in in place:
            raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to allocate at {place}")
        self.kernels[place] += 1
        self.launched += 1

    def wait(self, what: str) -> None:
        """Wait for the stream of this thread."""
        self._refuse_in_capture(what)
        self.waits[f"{what} {where()}"] += 1
        self._stall(what)

    def wait_for_all(self, what: str) -> None:
        """Wait for the whole device, which ends the captures of all threads."""
        for graph in self._captures:
            graph.is_broken = True
        if self._captures:
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing: {what} at {where()}"
            )
        self.wait(what)

    def upload(self, source: torch.Tensor, *, waits: bool) -> None:
        self._refuse_in_capture("a copy from the host")
        self.uploads[where()] += 1
        self.bytes_up += source.numel() * source.element_size()
        if waits:
            self._stall("upload")

    def download(self, source: torch.Tensor) -> None:
        self._refuse_in_capture("a copy to the host")
        self.downloads[where()] += 1
        self.bytes_down += source.numel() * source.element_size()
        self._stall("download")

    @contextmanager
    def capture(self, graph, **_options):
        """Stand in for `torch.cuda.graph`."""
        self.wait_for_all("torch.cuda.graph")  # it does so itself, before it begins
        self._thread.graph = graph
        self._captures.append(graph)
        try:
            yield
        finally:
            self._thread.graph = None
            self._captures.remove(graph)
            if graph.is_broken:
                raise RuntimeError("CUDA error: operation failed due to a previous error")

    def _refuse_in_capture(self, what: str) -> None:
        if self.is_capturing:
            raise RuntimeError(
                f"CUDA error: operation not permitted when stream is capturing: {what} at {where()}"
            )

    def _stall(self, what: str) -> None:
        self.stalls[f"{what} {where()}"] += 1
        self.finished = self.launched


_gpu = PretendGpu()


def where() -> str:
    """Return file and line of the library that is being run: "temporal/warp.py:40"."""
    frame = _getframe(1)
    while frame is not None:
        _, found, path = frame.f_code.co_filename.rpartition("/mono_depth/")
        if found:
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "a test"


class DeviceTensor(torch.Tensor):
    """A tensor on the pretend device; `inner` holds its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        with torch.inference_mode(inner.is_inference()):
            shape = torch.empty_strided(
                inner.size(), inner.stride(), dtype=inner.dtype, device="meta"
            )
            return torch.Tensor._make_subclass(
                cls, shape, False, dispatch_device=False, device_for_backend_keys=CUDA
            )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @property
    def device(self):
        return CUDA

    @property
    def is_cuda(self):
        return True

    def numpy(self, *_args, **_named):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")

    def new_tensor(self, data, *, dtype=None, device=None):
        del device
        return torch.tensor(data, dtype=dtype or self.dtype).to(CUDA)

    def data_ptr(self):
        return self.inner.data_ptr()

    def __repr__(self):
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            made = DeviceTensor(self.inner.clone())
            is_parameter = isinstance(self, torch.nn.Parameter) or hasattr(self, "_is_param")
            memo[id(self)] = torch.nn.Parameter(made, False) if is_parameter else made
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(None, func, args, kwargs or {})


class _Indexed(TorchFunctionMode):
    """Says `cuda:0` for `cuda`: torch without CUDA knows no device that would be current."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if any(map(_lacks_index, (*args, *kwargs.values()))):
            args = [CUDA if _lacks_index(item) else item for item in args]
            kwargs = {key: CUDA if _lacks_index(item) else item for key, item in kwargs.items()}
        return func(*args, **kwargs)


def _lacks_index(item) -> bool:
    if isinstance(item, torch.device):
        return item.type == "cuda" and item.index is None
    return isinstance(item, str) and item == "cuda"


class _Factories(TorchDispatchMode):
    """Sees operations without tensors of the device, such as `torch.empty(device="cuda")`."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(self, func, args, kwargs or {})


def _run(mode, func, args, kwargs):
    """Do one operation of torch."""
    name = func.name()
    if name not in _ONE_KERNEL and _is_composite(name):
        with mode or nullcontext():
            made = func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        if made is not NotImplemented:
            return made
    flat, _ = tree_flatten((args, kwargs))
    of_device = any(isinstance(item, DeviceTensor) for item in flat)
    wanted = _wanted(kwargs, of_device or name in _OF_NUMBERS)
    if name == "aten::_to_copy":
        return _converted(func, args[0], wanted, kwargs)
    if name == "aten::copy_" and any(isinstance(item, DeviceTensor) for item in args[:2]):
        return _copied(func, args[0], args[1])
    if name == "aten::_local_scalar_dense" and of_device:
        _gpu.wait("item")
        return func(args[0].inner)
    if not of_device and (wanted is None or wanted.type != "cuda"):
        return func(*args, **kwargs)
    _check(name, args, flat)
    return _computed(func, args, kwargs, wanted)


@cache
def _is_composite(name: str) -> bool:
    key = "CompositeImplicitAutograd"
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, key)


def _wanted(kwargs, is_of_device: bool) -> torch.device | None:
    """Return the device that is asked for. For C++ a tensor of this one lies on "meta"."""
    device = kwargs.get("device")
    if device is None:
        return None
    device = torch.device(device)
    return CUDA if device.type == "meta" and is_of_device else device


def _converted(func, source, wanted, kwargs):
    """Do `.to`: another device, another type, or both."""
    was_there = isinstance(source, DeviceTensor)
    shall_be_there = was_there if wanted is None else wanted.type in ("cuda", "meta")
    if isinstance(source, torch.Tensor) and source.is_meta and not was_there:
        return func(source, **kwargs)
    options = {
        key: value
        for key, value in kwargs.items()
        if key not in ("device", "pin_memory", "non_blocking")
    }
    inner = source.inner if was_there else source
    made = func(inner, **options)
    if not was_there and not shall_be_there:
        return made
    if not was_there:
        is_quick = kwargs.get("non_blocking") and hasattr(source, "is_pretend_pinned")
        _gpu.upload(inner, waits=not is_quick)
        return DeviceTensor(made)
    if not shall_be_there:
        _gpu.download(inner)
        return made
    same = made.dtype == inner.dtype and made.stride() == inner.stride()
    if wanted is not None and same and kwargs.get("memory_format") is None:
        return source  # what C++ takes for a change of device
    _gpu.launch()
    _gpu.record(func, (inner,), options, made)
    return DeviceTensor(made)


def _copied(func, place, source):
    """Do `copy_`."""
    to, of = isinstance(place, DeviceTensor), isinstance(source, DeviceTensor)
    inner_place = place.inner if to else place
    inner_source = source.inner if of else source
    if to and not of:
        _gpu.upload(inner_source, waits=True)
    elif of and not to:
        _gpu.download(inner_source)
    else:
        _gpu.launch()
        _gpu.record(func, (inner_place, inner_source), {}, None)
    func(inner_place, inner_source)
    return place


def _check(name: str, args, flat) -> None:
    """Refuse two devices in one operation; count what makes the host wait."""
    if name in _WAITS:
        _gpu.wait(name.removeprefix("aten::"))
    if name in _INDEXING:
        for index in args[1]:
            if isinstance(index, torch.Tensor):
                if index.dtype in (torch.bool, torch.uint8):
                    _gpu.wait("index by a mask")
                if not isinstance(index, DeviceTensor):
                    _gpu.upload(index, waits=True)
        return
    strangers = [
        tuple(item.shape)
        for item in flat
        if isinstance(item, torch.Tensor) and not isinstance(item, DeviceTensor) and item.ndim
    ]
    if strangers and any(isinstance(item, DeviceTensor) for item in flat):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"cuda:0 and cpu! {name} with {strangers} of the CPU at {where()}"
        )


def _computed(func, args, kwargs, wanted):
    """Do the arithmetic, and put the result on the device."""
    known = {}

    def to_host(item):
        if isinstance(item, DeviceTensor):
            known[id(item.inner)] = item
            return item.inner
        if isinstance(item, torch.device):
            return torch.device("cpu")
        return item

    flat, spec = tree_flatten((args, kwargs))
    inner_args, inner_kwargs = tree_unflatten([to_host(item) for item in flat], spec)
    if wanted is not None:
        inner_kwargs["device"] = torch.device("cpu")
    inner_kwargs.pop("pin_memory", None)
    is_view = any(
        item.alias_info is not None and not item.alias_info.is_write
        for item in func._schema.returns
    )
    if not is_view and func.name() not in _NO_KERNEL:
        _gpu.launch()
    made = func(*inner_args, **inner_kwargs)
    if not is_view:
        _gpu.record(func, inner_args, inner_kwargs, made)
    stays = wanted is not None and wanted.type == "cpu"

    def to_device(item):
        if not isinstance(item, torch.Tensor) or stays:
            return item
        return known.get(id(item)) if id(item) in known else DeviceTensor(item)

    flat, spec = tree_flatten(made)
    return tree_unflatten([to_device(item) for item in flat], spec)


class _Graph:
    """Stands in for `torch.cuda.CUDAGraph`."""

    def __init__(self, *_args, **_named) -> None:
        self.tape = []
        self.is_broken = False

    def replay(self) -> None:
        _gpu.launch()
        for func, args, kwargs, places in self.tape:
            made = func(*args, **kwargs)
            if places is None:
                continue
            for place, value in zip(tree_flatten(places)[0], tree_flatten(made)[0], strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class _Stream:
    """Stands in for `torch.cuda.Stream`."""

    def __init__(self, *_args, **_named) -> None:
        pass

    def wait_stream(self, _other) -> None:
        pass

    def synchronize(self) -> None:
        _gpu.wait("synchronize a stream")


class _Event:
    """Stands in for `torch.cuda.Event`."""

    def __init__(self, *_args, **_named) -> None:
        self._number, self._at_s = 0, 0.0

    def record(self, _stream=None) -> None:
        self._number, self._at_s = _gpu.launched, time.perf_counter()

    def query(self) -> bool:
        return self._number <= _gpu.finished

    def synchronize(self) -> None:
        if not self.query():
            _gpu.wait("synchronize an event")

    def elapsed_time(self, end: _Event) -> float:
        assert self.query()
        assert end.query(), "the event has not been reached"
        return (end._at_s - self._at_s) * 1e3


@contextmanager
def pretend_gpu() -> Iterator[PretendGpu]:
    """Let torch find a CUDA device, in this thread and in those that are started meanwhile."""
    gpu = _gpu
    gpu.full_in = ""
    gpu.reset()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with (
        mock.patch.dict(os.environ),
        pytest.MonkeyPatch.context() as patch,
        torch.no_grad(),
        _Indexed(),
        _Factories(),
    ):
        _patch_cuda(patch, gpu)
        _patch_torch(patch)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield gpu
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _patch_cuda(patch: pytest.MonkeyPatch, gpu: PretendGpu) -> None:
    """Put the pretend device behind `torch.cuda`."""
    for name, stand_in in {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "Pretend GPU",
        "is_bf16_supported": lambda *_, **__: True,
        "synchronize": lambda *_: gpu.wait_for_all("synchronize the device"),
        "empty_cache": lambda: gpu.wait_for_all("empty the cache"),
        "is_current_stream_capturing": lambda: gpu.is_capturing,
        "Stream": _Stream,
        "Event": _Event,
        "current_stream": lambda *_: _Stream(),
        "stream": lambda _: nullcontext(),
        "device": lambda _: nullcontext(),
        "CUDAGraph": _Graph,
        "graph": gpu.capture,
        "graph_pool_handle": lambda: (0, 1),
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: 0,
    }.items():
        patch.setattr(torch.cuda, name, stand_in)


def _patch_torch(patch: pytest.MonkeyPatch) -> None:
    """Put the pretend device behind what torch does in C++, where no dispatch is seen."""
    for name in ("tensor", "as_tensor"):
        patch.setattr(torch, name, _maker(getattr(torch, name)))
    patch.setattr(torch.Tensor, "pin_memory", _pinned)
    convert = torch.nn.Module.to

    def to(module, *args, **named):
        module.requires_grad_(False)
        return convert(module, *args, **named)

    patch.setattr(torch.nn.Module, "to", to)

    def no_compiler(*_args, **_named):
        raise RuntimeError("there is no compiler for the pretend device")

    patch.setattr(torch, "compile", no_compiler)
    PretendAutocast.install(patch, DeviceTensor)
    run = threading.Thread.run

    def run_with_device(thread):  # modes of torch hold for one thread
        with torch.no_grad(), _Indexed(), _Factories():
            run(thread)

    patch.setattr(threading.Thread, "run", run_with_device)


def _maker(make):
    def made(data, *args, device=None, **named):
        if device is None or torch.device(device).type != "cuda":
            return (
                make(data, *args, **named)
                if device is None
                else make(data, *args, device=device, **named)
            )
        if isinstance(data, DeviceTensor):
            return data.to(**named)
        return make(data, *args, **named).to(CUDA)

    return made


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    made = tensor.clone()
    made.is_pretend_pinned = True
    return made
