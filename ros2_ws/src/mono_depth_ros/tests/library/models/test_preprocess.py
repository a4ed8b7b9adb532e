import cv2
import numpy as np
import pytest
import torch

from mono_depth.errors import ConfigError, FrameError
from mono_depth.models.checks import pseudo_random
from mono_depth.models.input_spec import InputSpec
from mono_depth.models.preprocess import Preprocess

CPU = torch.device("cpu")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("rule", "side", "multiple", "image", "expected"),
    [
        # (width, height), from the sizes that the original projects state for VGA
        ("lower_bound", 518, 14, (640, 480), (686, 518)),
        ("lower_bound", 518, 14, (480, 640), (518, 686)),
        ("lower_bound", 518, 14, (518, 518), (518, 518)),
        ("lower_bound", 252, 14, (640, 480), (336, 252)),
        ("lower_bound", 252, 14, (1280, 720), (448, 252)),
        ("lower_bound", 260, 14, (640, 480), (350, 266)),
        ("upper_bound", 256, 32, (640, 480), (256, 192)),
        ("upper_bound", 384, 32, (480, 640), (288, 384)),
        ("minimal", 384, 32, (640, 480), (512, 384)),
        ("fixed", 224, 1, (640, 480), (224, 224)),
        ("upper_bound", 64, 32, (1000, 10), (64, 32)),
        ("upper_bound", 504, 14, (1280, 720), (504, 280)),
        ("longest", 504, 14, (640, 480), (504, 378)),
        ("longest", 504, 14, (480, 640), (378, 504)),
        ("longest", 504, 14, (1280, 720), (504, 280)),
        ("longest", 504, 14, (1280, 800), (504, 322)),  # from 504x315, 22.5 multiples
        ("longest", 504, 14, (1000, 2), (504, 14)),
        # 1369 patches: MoGe takes round(sqrt(1369 / aspect)) rows of them
        ("area", 518, 14, (500, 500), (518, 518)),
        ("area", 518, 14, (640, 480), (43 * 14, 32 * 14)),
        ("area", 518, 14, (720, 1280), (28 * 14, 49 * 14)),
    ],
)
def test_the_size_rule_gives_the_input_size_of_the_original(rule, side, multiple, image, expected):
    spec = InputSpec(width=side, height=side, rule=rule, multiple_of=multiple)

    assert spec.size_for(*image) == expected


def test_short_side_scales_both_sides_of_the_input():
    spec = InputSpec(width=768, height=384, multiple_of=32)

    assert spec.with_short_side(192) == InputSpec(width=384, height=192, multiple_of=32)


@pytest.mark.parametrize(
    ("interpolation", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)]
)
@pytest.mark.parametrize("size", [(336, 252), (700, 525)])
def test_the_resize_is_that_of_opencv(interpolation, flag, size):
    rgb = pseudo_random.image(480, 640)
    spec = InputSpec(width=size[0], height=size[1], interpolation=interpolation, **IMAGENET)

    planes = Preprocess(spec, CPU)(torch.from_numpy(rgb))

    expected = cv2.resize(rgb / 255.0, size, interpolation=flag)
    expected = (expected - IMAGENET["mean"]) / IMAGENET["std"]
    assert planes.shape == (1, 3, size[1], size[0])
    # 1e-3 is a twentieth of a grey level; coordinates are float32 here and the image all edges
    np.testing.assert_allclose(planes[0].permute(1, 2, 0).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("size", [(336, 252), (63, 240), (640, 479)])
def test_area_is_the_mean_over_a_pixel_like_in_opencv(size):
    rgb = pseudo_random.image(480, 640)
    spec = InputSpec(width=size[0], height=size[1], interpolation="area")

    planes = Preprocess(spec, CPU)(torch.from_numpy(rgb))

    expected = cv2.resize(rgb / 255.0, size, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(planes[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_area_enlarges_like_bicubic():
    rgb = torch.from_numpy(pseudo_random.image(48, 64))
    area = InputSpec(width=100, height=75, interpolation="area")
    bicubic = InputSpec(width=100, height=75, interpolation="bicubic")

    assert torch.equal(Preprocess(area, CPU)(rgb), Preprocess(bicubic, CPU)(rgb))


@pytest.mark.parametrize(("interpolation", "is_seen"), [("bilinear", False), ("antialias", True)])
def test_only_antialias_sees_every_pixel_of_a_larger_image(interpolation, is_seen):
    rgb = torch.zeros(8, 8, 3, dtype=torch.uint8)
    rgb[0, 0] = 255

    planes = Preprocess(InputSpec(width=2, height=2, interpolation=interpolation), CPU)(rgb)

    assert (planes[0, :, 0, 0] > 0.01).all() == is_seen


def test_an_image_of_the_right_size_is_only_normalised():
    rgb = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    spec = InputSpec(width=1, height=1, mean=(0.5, 0.2, 0.0), std=(0.5, 0.1, 2.0))

    planes = Preprocess(spec, CPU)(rgb)

    torch.testing.assert_close(planes.flatten(), torch.tensor([-1.0, 0.0, 0.5]))


def test_an_image_whose_sides_are_no_multiples_is_resized_twice_by_the_longest_rule():
    rgb = pseudo_random.image(90, 160)
    spec = InputSpec(
        width=84, height=84, rule="longest", multiple_of=14, interpolation="area", **IMAGENET
    )

    planes = Preprocess(spec, CPU)(torch.from_numpy(rgb))

    once = cv2.resize(rgb.astype(np.float32), (84, 47), interpolation=cv2.INTER_AREA)
    twice = cv2.resize(once, (84, 42), interpolation=cv2.INTER_AREA) / 255.0
    expected = (twice - IMAGENET["mean"]) / IMAGENET["std"]
    np.testing.assert_allclose(planes[0].permute(1, 2, 0), expected, atol=2e-5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(4, 4, 3), r"shape \(4, 4, 3\) torch.float32, expected \(H, W, 3\)"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), r"shape \(3, 4, 4\)"),
        (torch.zeros(0, 4, 3, dtype=torch.uint8), r"shape \(0, 4, 3\)"),
        (torch.zeros(4, 4, dtype=torch.uint8), r"shape \(4, 4\)"),
    ],
)
def test_anything_but_an_rgb_image_is_refused(image, message):
    preprocess = Preprocess(InputSpec(width=4, height=4), CPU)

    with pytest.raises(FrameError, match=message):
        preprocess(image)


def test_a_line_of_pixels_cannot_ask_for_a_huge_input():
    spec = InputSpec(width=518, height=518, rule="lower_bound", multiple_of=14)

    with pytest.raises(FrameError, match="would need a network input of 1036000x518"):
        spec.size_for(2000, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "lower"}, "rule 'lower' is not one of fixed, lower_bound"),
        ({"interpolation": "lanczos"}, "'lanczos' is not one of bilinear, bicubic"),
        ({"multiple_of": 300}, "224x224 pixels in multiples of 300"),
        ({"std": (1.0, 0.0, 1.0)}, "std > 0"),
    ],
)
def test_a_wrong_input_description_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        InputSpec(**{"width": 224, "height": 224, **values})


def test_a_shape_that_makes_the_work_much_larger_is_told_once(caplog):
    preprocess = Preprocess(
        InputSpec(width=56, height=56, rule="lower_bound", multiple_of=14, **IMAGENET), CPU
    )
    for _ in range(2):
        preprocess(torch.zeros(36, 192, 3, dtype=torch.uint8))
    preprocess(torch.zeros(48, 64, 3, dtype=torch.uint8))
    (told,) = caplog.messages
    assert told.startswith("an image of 192x36 is 294x56 for the network, 5.2 times its usual work")
