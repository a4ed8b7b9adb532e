"""What a measurement was made on: hardware, versions, memory."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mono_depth import __version__
from mono_depth.system.threads import usable_cores

# What is reported -> names of the distributions it may come in.
_DISTRIBUTIONS = {
    "torch": ("torch",),
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "open3d": ("open3d", "open3d-cpu"),
    "openvino": ("openvino",),
}
_FLAGS = ("flags", "Featu")  # how the line of features starts on x86 and on Arm


def hardware() -> dict[str, Any]:
    """Return CPU, cores, memory and GPU; and how busy the machine is with other things."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "ram_gib": round(_ram_bytes() / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def device_name(device: torch.device) -> str:
    """Return what computes there: "cpu: AMD EPYC 9755"."""
    is_gpu = device.type == "cuda"
    return f"{device}: {torch.cuda.get_device_name(device) if is_gpu else _cpu_model()}"


def cpu_computes_bf16() -> bool:
    """Tell whether the CPU multiplies bfloat16 itself; others are slower in it than in float32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    known = {flag for line in text.splitlines() if line[:5] in _FLAGS for flag in line.split()}
    return bool(known & {"avx512_bf16", "amx_bf16", "bf16"})


def versions() -> dict[str, str | None]:
    """Return the versions of what computes; None = not installed."""
    found = {name: _version(names) for name, names in _DISTRIBUTIONS.items()}
    return {"mono_depth": __version__, "python": platform.python_version(), **found}


def resident_mib(pid: int | str = "self") -> float:
    """Return the memory that a process holds now [MiB], NaN where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    sizes_kib = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(sizes_kib[0]) / 1024 if sizes_kib else float("nan")


def cpu_seconds(pid: int | str = "self") -> float:
    """Return the CPU time that a process has used [s], NaN where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    # The name of the program, in parentheses, may hold spaces. Source: proc_pid_stat(5).
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()  # Arm tells no model name


def _ram_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
