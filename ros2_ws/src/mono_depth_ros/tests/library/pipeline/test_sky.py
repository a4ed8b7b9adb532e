"""Sky is recognised as sky, and neither walls, ceilings nor what stands before it are."""

import math

import cv2
import numpy as np
import pytest
import torch

from mono_depth.config import PipelineConfig, ScaleConfig
from mono_depth.data import Frame, Intrinsics, OutputKind, Prediction
from mono_depth.outputs.pixel_class import PixelClass
from mono_depth.pipeline.pipeline import DepthPipeline
from mono_depth.pipeline.sky import find_sky, nearest_claim

WIDTH, HEIGHT = 160, 120
CAMERA = Intrinsics(width=WIDTH, height=HEIGHT, fx=120.0, fy=120.0, cx=79.5, cy=59.5)
SKIES = {
    "blue": (90, 140, 215),
    "overcast": (205, 208, 210),
    "evening": (225, 150, 95),
    "dull": (120, 122, 125),
}


def down_of(pitch_deg, roll_deg=0.0):
    """Return gravity in the optical frame of a camera pitched down, then rolled."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    level = np.array([0.0, math.cos(pitch), math.sin(pitch)])
    turn = np.array(
        [
            [math.cos(roll), math.sin(roll), 0.0],
            [-math.sin(roll), math.cos(roll), 0.0],
            [0.0, 0.0, 1.0],
        ]
    )
    return turn @ level


def rays():
    row, column = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    return np.stack(((column - 79.5) / 120.0, (row - 59.5) / 120.0, np.ones_like(row)), -1)


def outdoors(down, sky_rgb, *, sky_m=45.0, seed=0):
    """Return image, depth and where the sky is: grass up to the horizon, a sky with clouds."""
    rng = np.random.default_rng(seed)
    fall = rays() @ down
    is_sky = fall < 0.0
    texture = rng.uniform(40.0, 140.0, (HEIGHT, WIDTH, 1)) * (0.6, 1.0, 0.4)
    clouds = cv2.resize(rng.normal(0.0, 8.0, (5, 7)), (WIDTH, HEIGHT))[..., None]
    image = np.where(is_sky[..., None], np.array(sky_rgb) + clouds, texture)
    image += rng.normal(0.0, 2.0, image.shape)
    depth_m = np.where(is_sky, sky_m, np.minimum(1.5 / np.maximum(fall, 1e-3), sky_m))
    return np.clip(image, 0, 255).astype(np.uint8), depth_m.astype(np.float32), is_sky


def found_in(image, depth_m, down, **options):
    sky = find_sky(image, torch.from_numpy(depth_m), CAMERA, down, **options)
    return np.zeros((HEIGHT, WIDTH), bool) if sky is None else sky


@pytest.mark.parametrize("sky", SKIES)
@pytest.mark.parametrize(
    ("pitch_deg", "roll_deg"), [(0, 0), (-20, 0), (15, 0), (0, 90), (-10, -60), (5, 180)]
)
def test_sky_is_found_at_any_tilt(sky, pitch_deg, roll_deg):
    down = down_of(pitch_deg, roll_deg)
    image, depth_m, is_sky = outdoors(down, SKIES[sky])

    found = found_in(image, depth_m, down)

    assert found[is_sky].mean() > 0.9
    assert not found[~is_sky].any()


def test_without_gravity_the_upper_part_of_the_image_is_searched():
    image, depth_m, is_sky = outdoors(down_of(0.0), SKIES["overcast"])

    assert found_in(image, depth_m, None)[is_sky].mean() > 0.9


def test_a_network_that_gives_no_depth_for_the_sky_does_not_speak_against_it():
    down = down_of(0.0)
    image, depth_m, is_sky = outdoors(down, SKIES["blue"])
    depth_m[is_sky] = np.nan

    assert found_in(image, depth_m, down)[is_sky].mean() > 0.9


@pytest.mark.parametrize("white", [False, True])
def test_what_the_network_puts_near_is_never_sky(white):
    """A lorry in the colour of the sky, and one that the image shows clearly."""
    down = down_of(0.0)
    image, depth_m, _ = outdoors(down, SKIES["overcast"])
    depth_m[20:80, 50:110] = 9.0
    if not white:
        image[20:80, 50:110] = (160, 30, 30)

    found = found_in(image, depth_m, down)

    assert not found[20:80, 50:110].any()
    assert found[:15].mean() > 0.9


def test_a_thing_that_the_network_alone_puts_near_is_no_sky_in_other_metres():
    """Metres of a source that is wrong by a factor do not make a wall into sky."""
    given_m, own_m = torch.full((4, 4), 40.0), torch.full((4, 4), 5.0)
    said = Prediction(values=own_m, kind=OutputKind.METRIC)

    assert nearest_claim(given_m, said).max() == 5.0
    relative = Prediction(values=own_m, kind=OutputKind.INVERSE_AFFINE)
    assert nearest_claim(given_m, relative).min() == 40.0


@pytest.mark.parametrize("farther", [1.0, 1.6])
@pytest.mark.parametrize("height_m", [2.5, 5.0, 8.0])
def test_a_white_ceiling_is_no_sky(height_m, farther):
    """Of a room or of a hall, in the metres of a network that sees it too far."""
    fall = rays() @ down_of(0.0)
    image, _, is_up = outdoors(down_of(0.0), (235, 235, 235))
    ceiling_m = (height_m - 0.5) / np.maximum(-fall, 1e-3)
    depth_m = farther * np.minimum(np.where(is_up, ceiling_m, 0.5 / np.maximum(fall, 1e-3)), 60.0)

    assert not found_in(image, depth_m.astype(np.float32), down_of(0.0)).any()


@pytest.mark.parametrize("wall_m", [2.0, 6.0, 12.0])
def test_a_white_wall_is_no_sky(wall_m):
    image, depth_m, _ = outdoors(down_of(0.0), (240, 240, 240))

    assert not found_in(image, np.minimum(depth_m, wall_m), down_of(0.0)).any()


def test_a_window_is_no_open_sky():
    """Bright and far by the network, and framed by a wall."""
    down = down_of(0.0)
    image, depth_m, _ = outdoors(down, SKIES["overcast"])
    frame = np.ones((HEIGHT, WIDTH), bool)
    frame[15:45, 40:120] = False
    depth_m[frame] = np.minimum(depth_m, 4.0)[frame]

    assert not found_in(image, depth_m, down).any()


def test_trees_before_the_sky_are_no_sky():
    down = down_of(0.0)
    image, depth_m, _ = outdoors(down, SKIES["overcast"])
    leaves = np.random.default_rng(1).integers(20, 120, (50, 40, 3))
    image[10:60, 20:60] = leaves

    found = found_in(image, depth_m, down)

    assert not found[10:60, 20:60].any()
    assert found[:55, 70:].mean() > 0.9


def test_beside_a_rectified_image_there_is_no_sky():
    down = down_of(0.0)
    image, depth_m, is_sky = outdoors(down, SKIES["blue"])
    is_visible = np.zeros((HEIGHT, WIDTH), bool)
    is_visible[12:-12, 12:-12] = True
    image[~is_visible] = 0

    found = found_in(image, depth_m, down, is_visible=is_visible)

    assert not found[~is_visible].any()
    assert found[is_sky & is_visible].mean() > 0.8


class SaysThatDepth:
    """A network of metres with a fixed answer."""

    name, kind, weights_sha256, scale_sigma_rel = "fixed", OutputKind.METRIC, "", 0.5
    device = torch.device("cpu")

    def __init__(self, depth_m):
        self._depth_m = torch.from_numpy(depth_m)

    def infer(self, rgb, intrinsics):
        return Prediction(values=self._depth_m, kind=self.kind)


@pytest.mark.parametrize("out_of_range", ["nan", "inf"])
def test_the_pipeline_gives_sky_as_beyond_range(out_of_range):
    down = down_of(0.0)
    image, depth_m, is_sky = outdoors(down, SKIES["blue"])
    config = PipelineConfig(scale=ScaleConfig(source="model"), out_of_range=out_of_range)
    pipeline = DepthPipeline(SaysThatDepth(depth_m), config)
    frame = Frame(rgb=image, stamp_ns=1, frame_id="camera", intrinsics=CAMERA, gravity_camera=down)

    result = pipeline.process(frame)

    classes, sky_m = result.pixel_class.numpy(), result.depth_m.numpy()[:50]
    assert (classes[:50] == PixelClass.BEYOND).mean() > 0.95
    assert (classes[is_sky] != PixelClass.UNKNOWN).all()
    assert (classes[70:] == PixelClass.SEEN).all()
    beyond = np.isnan(sky_m) if out_of_range == "nan" else np.isposinf(sky_m)
    assert beyond.mean() > 0.95
    assert result.confidence[:50][classes[:50] == PixelClass.BEYOND].max() == 0.0
    assert result.seen_depth_m[:50].isnan().float().mean() > 0.95
