"""Which form of output a network gives for a frame, as scales depend on it."""

from __future__ import annotations

from mono_depth.config import PipelineConfig
from mono_depth.data import Frame, Prediction
from mono_depth.models.protocol import DepthModel, GuidedModel
from mono_depth.scale.held_scale import OutputForm


def output_form(
    model: DepthModel,
    frame: Frame,
    prediction: Prediction,
    completed: str,
    config: PipelineConfig,
) -> OutputForm | None:
    """Return the form of an output, None for a camera without calibration.

    Args:
        model: the network.
        frame: that it saw.
        prediction: what it said.
        completed: as `predict` returns it.
        config: that it ran with.
    """
    if frame.intrinsics is None:
        return None
    height, width = prediction.values.shape
    return OutputForm(
        model=model.name,
        weights_sha256=model.weights_sha256,
        kind=prediction.kind,
        output_size=(int(height), int(width)),
        hints="+".join(_hints(model, frame, completed, config)),
        reference_focal=config.scale.reference_focal,
        frame_id=frame.frame_id,
        camera=OutputForm.camera_of(frame.intrinsics),
    )


def _hints(model: DepthModel, frame: Frame, completed: str, config: PipelineConfig) -> list[str]:
    """Return what moved the output: hints may have made metres of it already."""
    is_guess = completed == "guess"
    hints = [f"guess of {config.completion.guess_model}" if is_guess else completed]
    has_ground = frame.camera_height_m is not None and frame.gravity_camera is not None
    if isinstance(model, GuidedModel) and config.completion.level_ground and has_ground:
        hints.append("ground")
    return [hint for hint in hints if hint]
