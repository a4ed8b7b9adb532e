"""Finds the depth of uploads with the pipeline that the node has, each image by itself."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mono_depth.config import PipelineConfig, updated
from mono_depth.data import ASSUMED_FOV_DEG, Frame, Intrinsics, RgbImage
from mono_depth.errors import FrameError, ModelError, MonoDepthError
from mono_depth.messages.image_header import read_header
from mono_depth.models.store.registry import ModelEntry
from mono_depth.outputs.depth_result import DepthResult
from mono_depth.outputs.files.description import describe
from mono_depth.pipeline.build import build_pipeline
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.web.api_error import BAD_PARAMETER, NOT_READY, UNUSABLE_IMAGE, ApiError
from mono_depth.web.catalogue import Catalogue
from mono_depth.web.depth_request import DepthRequest
from mono_depth.web.estimate import Estimate
from mono_depth.web.exif import focal_px
from mono_depth.web.images import decode_upload
from mono_depth.web.known_length import scaled_by_length
from mono_depth.web.one_image_scale import scaled_by_ground

_LOG = logging.getLogger(__name__)
_FRAME_ID = "camera"
# A CPU is busy with one: four at a time cost each as much, and the first waits for the last.
_TOGETHER_ON_GPU = 4
_LARGE_PX = 1 << 21  # images of more pixels are not worked on together
_SINGLE_IMAGES = {
    "temporal.mode": "none",
    "motion.mode": "off",
    "scale.keep": False,
    "out_of_range": "inf",  # what is too far is told apart from what is unknown
}


class Estimator:
    """Keeps a few models loaded. Not thread-safe: one worker owns it."""

    def __init__(self, config: PipelineConfig, *, loaded_models: int = 2) -> None:
        """Load nothing yet.

        Args:
            config: of every request; a request may choose model, input size and refinement.
            loaded_models: kept at the same time; the one that was used least recently goes.

        Raises:
            ConfigError: the registry is wrong.
            ModelError: the configured model is not in it.
        """
        self._config = updated(config, _SINGLE_IMAGES)
        self._most = loaded_models
        self._pipelines: OrderedDict[tuple[str, int], DepthPipeline] = OrderedDict()
        self.together = 1  # images at a time that suit the device; known once `prepare` is done
        self.catalogue = Catalogue(config)

    def prepare(self) -> None:
        """Load the default model and let it run once.

        Raises:
            MonoDepthError: it cannot be loaded.
        """
        pipeline = self._pipeline(self.catalogue.default.name, self._config.input_size)
        self.together = 1 if pipeline.model.device.type == "cpu" else _TOGETHER_ON_GPU

    def key(self, data: bytes, request: DepthRequest) -> Hashable:
        """Return what is alike of the requests that one run of the network can answer.

        Args:
            data: an image that `check_upload` let pass.
            request: the levers.

        Raises:
            ApiError: there is no such model.
        """
        header, entry = read_header(data), self.catalogue.entry(request.model)
        size = header.width, header.height
        alone = object() if size[0] * size[1] > _LARGE_PX else None  # memory stays that of one
        return (entry.name, request.input_size, request.refine, size, alone)

    def estimate(self, data: bytes, request: DepthRequest) -> Estimate:
        """Find the depth of an upload; arguments as of `estimate_all`.

        Raises:
            ApiError: the image is damaged or cannot be used, or the levers do not suit it.
        """
        (found,) = self.estimate_all([(data, request)])
        if isinstance(found, Exception):
            raise found
        return found

    def estimate_all(
        self, asked: Sequence[tuple[bytes, DepthRequest]]
    ) -> list[Estimate | Exception]:
        """Find the depth of uploads, by one run of the network where that is possible.

        Args:
            asked: images that `check_upload` let pass, each with its levers; all of one `key`.

        Returns:
            For each its depth, or why there is none.

        Raises:
            ApiError: the model cannot be loaded, or not for this input size.
        """
        uploads = [_Upload.read(data, request) for data, request in asked]
        start_s, first = time.perf_counter(), asked[0][1]
        entry = self.catalogue.entry(first.model)
        pipeline = self._chosen(entry.name, first)
        load_ms = 1e3 * (time.perf_counter() - start_s)
        good = [item for item in uploads if isinstance(item, _Upload)]
        results = iter(pipeline.process_each([item.frame for item in good]))
        found: list[Estimate | Exception] = []
        for item in uploads:
            if isinstance(item, Exception):
                found.append(item)
                continue
            try:
                result = _usable(next(results))
                found.append(self._estimate(pipeline, entry, item, result, load_ms))
            except Exception as error:  # noqa: BLE001 - of one image, and told to who sent it
                found.append(error)
        return found

    @staticmethod
    def _estimate(
        pipeline: DepthPipeline,
        entry: ModelEntry,
        upload: _Upload,
        result: DepthResult,
        load_ms: float,
    ) -> Estimate:
        request = upload.request
        result, warnings = _scaled(result, request)
        with pipeline.turn():
            has_metres = result.depth_m is not None
            depth_m = None if result.depth_m is None else result.depth_m.cpu().numpy()
            relative = None if has_metres else result.relative.cpu().numpy()
        confidence = result.own_confidence
        spent_ms = 1e3 * (time.perf_counter() - upload.start_s)
        return Estimate(
            rgb=upload.frame.rgb,
            depth_m=depth_m,
            relative=relative,
            own_confidence=None if confidence is None else confidence.float().cpu().numpy(),
            camera=upload.camera,
            camera_source=upload.camera_source,
            request=request,
            description=describe(result, model=entry.name, licence=entry.licence),
            warnings=(*_doubts_of(result, upload.camera_source), *warnings),
            timing_ms={
                "decode": upload.decode_ms,
                "load": load_ms,
                "depth": spent_ms - upload.decode_ms - load_ms,
            },
        )

    def close(self) -> None:
        """Let go of all models."""
        while self._pipelines:
            self._pipelines.popitem()[1].close()

    def _chosen(self, name: str, request: DepthRequest) -> DepthPipeline:
        """Return the pipeline of a request."""
        try:
            pipeline = self._pipeline(name, request.input_size or self._config.input_size)
        except ModelError as error:
            if request.input_size:
                raise ApiError(BAD_PARAMETER, f"input_size: {error}") from None
            _LOG.exception("model %s cannot be loaded", name)
            raise ApiError(NOT_READY, f"model {name} cannot be loaded; see the log") from None
        except MonoDepthError:
            _LOG.exception("model %s cannot be loaded", name)
            raise ApiError(NOT_READY, f"model {name} cannot be loaded; see the log") from None
        pipeline.reconfigure(updated(self._config, {"refine.mode": request.refine}))
        return pipeline

    def _pipeline(self, name: str, input_size: int) -> DepthPipeline:
        key = (name, input_size)
        if key not in self._pipelines:
            while len(self._pipelines) >= self._most:
                self._pipelines.popitem(last=False)[1].close()
            chosen = {"model": name, "input_size": input_size}
            self._pipelines[key] = build_pipeline(updated(self._config, chosen))
        self._pipelines.move_to_end(key)
        return self._pipelines[key]


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """An image, decoded."""

    request: DepthRequest
    frame: Frame
    camera: Intrinsics
    camera_source: str
    start_s: float
    decode_ms: float

    @classmethod
    def read(cls, data: bytes, request: DepthRequest) -> _Upload | ApiError:
        """Decode an image; one that is damaged is told."""
        start_s = time.perf_counter()
        try:
            rgb = decode_upload(data)
        except ApiError as error:
            return error
        camera, source = _camera(rgb, data, request)
        return cls(
            request=request,
            frame=Frame(rgb=rgb, stamp_ns=time.time_ns(), frame_id=_FRAME_ID, intrinsics=camera),
            camera=camera,
            camera_source=source,
            start_s=start_s,
            decode_ms=1e3 * (time.perf_counter() - start_s),
        )


def _usable(found: DepthResult | Exception) -> DepthResult:
    if isinstance(found, DepthResult):
        return found
    if isinstance(found, FrameError):
        raise ApiError(UNUSABLE_IMAGE, str(found))
    if isinstance(found, ModelError):
        _LOG.error("an image could not be processed", exc_info=found)
        raise ApiError(NOT_READY, "the model cannot go on; see the log")
    raise found


def _scaled(result: DepthResult, request: DepthRequest) -> tuple[DepthResult, list[str]]:
    """Bring depth to the metres that the user knows; a length goes before a height."""
    if request.known_length_m and request.known_from and request.known_to:
        ends = (request.known_from, request.known_to)
        return scaled_by_length(result, request.known_length_m, ends)
    if request.camera_height_m:
        scaled, refusal = scaled_by_ground(result, request.camera_height_m)
        return scaled, [f"camera_height_m was not used: {refusal}"] if refusal else []
    return result, []


def _doubts_of(result: DepthResult, camera_source: str) -> list[str]:
    doubts = [result.image_problem] if result.image_problem else []
    if camera_source == "assumed":
        doubts.append(
            f"the field of view is not known: {ASSUMED_FOV_DEG:g} degrees across the longer side "
            "are assumed; metres and lengths depend on it"
        )
    if result.scale.state == "assumed":
        doubts.append(
            "nothing measured the scale: the metres are what the network claims, and may be wrong "
            "by a factor; a known length or the height of the camera mends that"
        )
    return doubts


def _camera(rgb: RgbImage, data: bytes, request: DepthRequest) -> tuple[Intrinsics, str]:
    """Return the camera of an image, and where it is known from."""
    height, width = rgb.shape[:2]
    if request.fov_deg:
        return Intrinsics.of_view(width, height, request.fov_deg), "request"
    told = request.focal_px or focal_px(data, width, height)
    if not told:
        return Intrinsics.assumed(width, height), "assumed"
    camera = Intrinsics(
        width=width,
        height=height,
        fx=told,
        fy=told,
        cx=0.5 * (width - 1),
        cy=0.5 * (height - 1),
    )
    return camera, "request" if request.focal_px else "exif"
