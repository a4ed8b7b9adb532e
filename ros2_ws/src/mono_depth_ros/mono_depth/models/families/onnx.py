"""Any network in an ONNX file that a registry entry describes."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mono_depth.data import Intrinsics, OutputKind, Prediction
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.batch import check_batch, one_by_one
from mono_depth.models.families.onnx_ports import (
    ImagePort,
    as_maps,
    camera_port,
    foreign_shape,
    image_port,
    is_free,
    output_port,
    spec_for,
)
from mono_depth.models.family import Family, LoadRequest
from mono_depth.models.onnx_session import BoundSession, runtime_errors, session_options
from mono_depth.models.preprocess import Preprocess, without_letterbox
from mono_depth.models.replaceable_net import ReplaceableNet
from mono_depth.models.store.onnx_file import open_onnx
from mono_depth.models.store.registry import ModelEntry
from mono_depth.system.threads import torch_threads

if TYPE_CHECKING:
    import onnxruntime

_LOG = logging.getLogger(__name__)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_TOLD_STRETCH, _MOST_TOLD = 1.1, 8


class OnnxNet:
    """The network of an ONNX file, run by ONNX Runtime: tensors in, a tensor out."""

    def __init__(self, session: onnxruntime.InferenceSession, output_name: str, path: Path) -> None:
        self.path = path
        self.session = session
        self.output_name = output_name
        self._input_names = [node.name for node in session.get_inputs()]
        self._bound: BoundSession | None = None

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the output for inputs in the order of the file.

        On a GPU if inputs and session are there, else on the CPU.
        """
        device = inputs[0].device
        if device.type == "cuda" and self.session.get_providers()[0] == _CUDA:
            if self._bound is None:
                self._bound = BoundSession(self.session, device, (self.output_name,))
            return self._bound(*inputs)[0]
        arrays = (tensor.cpu().numpy() for tensor in inputs)
        feed = dict(zip(self._input_names, arrays, strict=True))
        (output,) = self.session.run([self.output_name], feed)
        return torch.from_numpy(output)


class OnnxDepth:
    """A network run by ONNX Runtime: one image in, one map out.

    A network whose metres are right for one focal length only (`kind: metric_focal`) has that in
    its entry as `focal_px`, in pixels of its input; its output is multiplied by the focal length
    there over `focal_px`, as the authors of Metric3D (1000) and Depth Anything 3 (300) do outside
    of the network. Without intrinsics the metres are those of an assumed camera.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        path: Path,
        entry: ModelEntry,
        device: torch.device,
        sha256: str,
    ) -> None:
        if entry.input is None:
            raise ModelError(f"the registry entry {entry.name} has no `input`, which onnx needs")
        if entry.kind is OutputKind.COMPLETION:
            raise ModelError(f"{entry.name}: an onnx model has one input, completion needs two")
        _check_focal_rule(entry)
        self.name = entry.name
        self.kind: OutputKind = entry.kind
        self.device = device
        self.weights_sha256 = sha256
        self.scale_sigma_rel = entry.scale_sigma_rel
        self._focal_px = entry.focal_px
        self._image_port = image_port(session, entry, entry.input)
        self._camera_port = camera_port(session, entry)
        self._output_name, needs_run = output_port(session, entry)
        self._spec = spec_for(self._image_port, entry.input)
        self._preprocess = Preprocess(self._spec, device)
        self._input_names = [node.name for node in session.get_inputs()]
        self._takes_batches = self._camera_port is None and _takes_batches(
            session, self._image_port, self._output_name
        )
        self._told_shapes: set[float] = set()  # of images that are distorted
        self.net = ReplaceableNet(OnnxNet(session, self._output_name, path))
        if needs_run:
            self._try_once()

    @property
    def networks(self) -> Sequence[ReplaceableNet[OnnxNet]]:
        """See `HasNetworks.networks`."""
        return (self.net,)

    @classmethod
    def load(
        cls,
        entry: ModelEntry,
        weights: Path,
        device: torch.device,
        *,
        sha256: str = "",
        data_sha256: str = "",
        threads: int | None = None,
    ) -> OnnxDepth:
        """Load an ONNX file; on a CUDA device with the CUDA provider if it is installed.

        Args:
            entry: describes the file.
            weights: the ONNX file; those that hold its weights, if they do not lie in it, beside.
            device: where images come from and depth goes to.
            sha256: what the file must hash to, "" = anything.
            data_sha256: what the files beside it must hash to, see `open_onnx`.
            threads: CPU threads of one operator, None = one for each core.

        Raises:
            ModelError: onnxruntime is missing, or the file is not what `entry` describes.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"model {entry.name} needs onnxruntime: pip install 'mono-depth-ros[onnx]'"
            ) from error
        with open_onnx(weights, sha256, data_sha256) as (source, digest):
            try:
                session = onnxruntime.InferenceSession(
                    source,
                    session_options(threads or 0),
                    providers=_providers(onnxruntime.get_available_providers(), device),
                )
            except runtime_errors() as error:
                raise ModelError(f"ONNX Runtime cannot load {weights}: {error}") from error
        if device.type == "cuda" and session.get_providers()[0] != _CUDA:
            _LOG.warning("%s: ONNX Runtime runs it on the CPU, not on %s", entry.name, device)
        return cls(session, weights, entry, device, digest)

    def infer(self, rgb: torch.Tensor, intrinsics: Intrinsics | None) -> Prediction:
        """Predict depth for one image. See `DepthModel.infer`."""
        with torch_threads(1):  # not a second pool beside ONNX Runtime's
            image = self._preprocess(rgb)
        (prediction,) = self._predict(image, rgb.shape[:2], (intrinsics,))
        return prediction

    def infer_batch(
        self, rgb: torch.Tensor, intrinsics: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Predict depth for several images, one by one where the file takes no more at a time.

        See `DepthModel.infer_batch`.
        """
        if not self._takes_batches:
            return one_by_one(self.infer, rgb, intrinsics)
        check_batch(rgb, intrinsics)
        with torch_threads(1):
            images = self._preprocess.batch(rgb)
        return self._predict(images, rgb.shape[1:3], intrinsics)

    def _predict(
        self, images: torch.Tensor, size: Sequence[int], cameras: Sequence[Intrinsics | None]
    ) -> list[Prediction]:
        """Run the network on its (B, 3, h, w) input for images of (height, width) `size`."""
        height, width = size
        self._tell_stretch(width, height)
        seen = [self._seen_by_network(camera, width, height, images) for camera in cameras]
        given = {self._image_port.name: self._image_port.fitted(images)}
        if self._camera_port is not None:
            given[self._camera_port.name] = self._camera_port.tensor(seen[0]).to(self.device)
        try:
            values = self.net(*(given[name] for name in self._input_names))
        except runtime_errors() as error:
            shape = "x".join(map(str, images.shape))
            raise FrameError(
                f"{self.name}: ONNX Runtime failed on a {shape} input: {error}"
            ) from error
        count = len(cameras)
        maps = as_maps(values, count)
        if maps is None:
            wanted = f"({count}, 1, h, w), ({count}, h, w)" + (" or (h, w)" if count == 1 else "")
            raise FrameError(
                f"{self.name}: output {self._output_name} has shape {tuple(values.shape)}, "
                f"expected {wanted}"
            )
        reason = foreign_shape(maps.shape[1:], images.shape[-2:])
        if reason:
            raise FrameError(f"{self.name}: output {self._output_name} is {reason}")
        maps = maps.to(self.device, torch.float32)
        return [
            self._prediction(plane, camera, width, height)
            for plane, camera in zip(maps, seen, strict=True)
        ]

    def _prediction(
        self, values: torch.Tensor, camera: Intrinsics, width: int, height: int
    ) -> Prediction:
        values = without_letterbox(values, self._spec, width, height)
        if self._focal_px is not None:
            values = values * (math.sqrt(camera.fx * camera.fy) / self._focal_px)
        return Prediction(values=values, kind=self.kind)

    def _seen_by_network(
        self, intrinsics: Intrinsics | None, width: int, height: int, images: torch.Tensor
    ) -> Intrinsics:
        """Return the camera of the network's input."""
        camera = intrinsics or Intrinsics.assumed(width, height)
        spec = self._spec
        if spec.fit != "letterbox":
            return camera.scaled_to(images.shape[-1], images.shape[-2])
        left, top, shown_width, shown_height = spec.place_in_letterbox(width, height)
        shown = camera.scaled_to(shown_width, shown_height)
        return replace(
            shown, width=spec.width, height=spec.height, cx=shown.cx + left, cy=shown.cy + top
        )

    def _tell_stretch(self, width: int, height: int) -> None:
        """Say once for each shape of images that they are distorted."""
        spec, shape = self._spec, round(width / height, 2)
        if spec.rule != "fixed" or shape in self._told_shapes:
            return
        stretch = spec.stretch_for(width, height)
        if stretch > _TOLD_STRETCH and len(self._told_shapes) < _MOST_TOLD:
            self._told_shapes.add(shape)
            _LOG.warning(
                "%s: an image of %dx%d is distorted by a factor of %.2f to the network's %dx%d, "
                "which makes depth worse unless it was trained so: `fit: letterbox` in the `input` "
                "of its registry entry keeps the shape",
                *(self.name, width, height, stretch, spec.width, spec.height),
            )

    def _try_once(self) -> None:
        """Run the network once, where its file does not say what comes out.

        Raises:
            ModelError: that is no map.
        """
        spec = self._spec
        try:
            self.infer(torch.zeros(spec.height, spec.width, 3, dtype=torch.uint8), None)
        except FrameError as error:
            raise ModelError(str(error)) from error


def _check_focal_rule(entry: ModelEntry) -> None:
    """Refuse a rule for the focal length that nobody would apply, and one without a meaning."""
    is_focal = entry.kind is OutputKind.METRIC_FOCAL
    if is_focal and entry.focal_px is None and not entry.camera_input:
        raise ModelError(
            f"{entry.name}: kind metric_focal needs focal_px, the focal length in pixels of the "
            "network's input at which its output is metres (Metric3D: 1000, Depth Anything 3: "
            "300), or camera_input, the input that takes the camera; else it is kind metric"
        )
    if entry.focal_px is not None and not is_focal:
        raise ModelError(f"{entry.name}: focal_px is for kind metric_focal, not {entry.kind.value}")


def _providers(available: list[str], device: torch.device) -> list[Any]:
    if device.type != "cuda":
        return [_CPU]
    if _CUDA not in available:
        _LOG.warning("this onnxruntime has no CUDA provider (onnxruntime-gpu has): running on CPU")
        return [_CPU]
    return [(_CUDA, {"device_id": device.index or 0}), _CPU]


def _takes_batches(
    session: onnxruntime.InferenceSession, image: ImagePort, output_name: str
) -> bool:
    """Tell whether the file says that it takes and gives any number of images."""
    nodes = (*session.get_inputs(), *session.get_outputs())
    shapes = [node.shape for node in nodes if node.name in (image.name, output_name)]
    return image.rank == 4 and all(len(shape) > 2 and is_free(shape[0]) for shape in shapes)


def load(request: LoadRequest) -> OnnxDepth:
    """Return the model of a file."""
    return OnnxDepth.load(
        request.entry,
        request.weights,
        request.device,
        sha256=request.sha256,
        data_sha256=request.data_sha256,
        threads=request.threads,
    )


FAMILY = Family(load=load, make_random=None, golden_cases=None)
