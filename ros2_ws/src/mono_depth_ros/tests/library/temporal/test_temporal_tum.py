"""The temporal filters behind a real network on a real recording, held to what they promise."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import TemporalConfig
from mono_depth.evaluation.measures.temporal_metrics import (
    confidence_ratio,
    flicker,
    log_errors,
    near_bias,
    scale_spread,
    sequence_scale,
)
from mono_depth.evaluation.measures.tracks import TrueScene, tracks
from mono_depth.models.loading import load_model
from mono_depth.recordings.open import open_sequence
from mono_depth.system.threads import on_one_thread
from mono_depth.temporal.filter import TemporalFilter
from mono_depth.temporal.relative import RelativeFilter

SIZE = (320, 240)


@pytest.fixture(scope="module")
def recording(shared_data, fastdepth_registry):
    """The frames, the depth of FastDepth, the truth and its tracks, all at 320x240."""
    model = load_model(
        "fastdepth", device=torch.device("cpu"), registry=fastdepth_registry, threads=1
    )
    frames, network_m = [], []
    for frame in open_sequence(str(shared_data / "tum_fr1_rpy")):
        prediction = model.infer(torch.from_numpy(frame.rgb), frame.intrinsics)
        network_m.append(cv2.resize(prediction.values.numpy(), SIZE))
        depth_m = cv2.resize(frame.depth_m, SIZE, interpolation=cv2.INTER_NEAREST)
        frames.append(replace(frame, depth_m=depth_m))
    truth_m = np.stack([frame.depth_m for frame in frames])
    scene = TrueScene(
        depth_m=truth_m,
        intrinsics=frames[0].intrinsics.scaled_to(*SIZE),
        T_odom_camera=[frame.T_odom_camera for frame in frames],
        mover=np.zeros(truth_m.shape, bool),
    )
    return frames, np.stack(network_m), scene, tracks(scene)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mode", ["pose", "flow"])
def test_the_depth_of_a_hand_held_camera_becomes_calm_and_truer(recording, mode):
    frames, network_m, scene, scene_tracks = recording
    past, config, depth_m, confidence = TemporalFilter(), TemporalConfig(mode=mode), [], []
    apply = on_one_thread(past.apply)
    for frame, raw_m in zip(frames, network_m, strict=True):
        out = apply(
            torch.from_numpy(raw_m),
            rgb=frame.rgb,
            intrinsics=frame.intrinsics,
            stamp_ns=frame.stamp_ns,
            T_odom_camera=frame.T_odom_camera,
            config=config,
        )
        assert out.mode == mode
        assert out.reset == ""
        depth_m.append(out.values.numpy())
        confidence.append(out.confidence.numpy())
    raw, now = (scores(maps, scene, scene_tracks) for maps in (network_m, np.stack(depth_m)))
    assert now["flicker"] < 0.3 * raw["flicker"]
    assert now["error"] < 0.85 * raw["error"]
    assert now["scale spread"] < 0.55 * raw["scale spread"]
    assert now["near bias"] < raw["near bias"] + 0.005  # reported farther: positive
    # The systematic error of the network, which no memory shows, is the larger part of the error.
    assert confidence_ratio(now["errors"], np.stack(confidence)) < 0.85


def scores(depth_m, scene, scene_tracks):
    depth_m = depth_m * sequence_scale(depth_m, scene.depth_m)
    log_error = log_errors(depth_m, scene.depth_m)
    return {
        "flicker": flicker(log_error, scene_tracks),
        "errors": np.abs(np.expm1(log_error)),
        "error": np.nanmean(np.abs(np.expm1(log_error))),
        "scale spread": scale_spread(log_error),
        "near bias": near_bias(log_error, scene.depth_m),
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_inverse_depth_without_metres_becomes_calm_and_no_less_true(recording):
    """Compared after one scale and shift for the whole recording."""
    frames, network_m, scene, scene_tracks = recording
    past, values = RelativeFilter(), []
    for frame, raw_m in zip(frames, network_m, strict=True):
        out = past.apply(
            torch.from_numpy(1.0 / raw_m),
            rgb=frame.rgb,
            intrinsics=frame.intrinsics,
            stamp_ns=frame.stamp_ns,
            config=TemporalConfig(mode="flow"),
        )
        assert out.reset == ""
        values.append(out.values.numpy())
    true = 1.0 / scene.depth_m
    raw, now = (fitted(maps, true) for maps in (1.0 / network_m, np.stack(values)))
    assert flicker(now, scene_tracks) < 0.75 * flicker(raw, scene_tracks)
    assert np.nanmean(np.abs(now)) < np.nanmean(np.abs(raw))
    near = scene.depth_m < 1.5
    assert -np.nanmean(now[near]) < -np.nanmean(raw[near])  # reported farther: positive


def fitted(values, true):
    """Return (fitted - true) / true inverse depth after one scale and shift."""
    known = np.isfinite(true)
    x, y = values[known][::53], true[known][::53]
    system = np.stack((x, np.ones_like(x)), axis=1) / y[:, None]
    scale, shift = np.linalg.lstsq(system, np.ones_like(y), rcond=None)[0]
    return (scale * values + shift - true) / true
