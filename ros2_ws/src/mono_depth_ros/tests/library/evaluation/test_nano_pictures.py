"""The images of the model card, drawn from real frames."""

import cv2
import pytest

from mono_depth.commands.figures.nano_pictures import main


@pytest.mark.slow
def test_the_images_of_the_card_are_drawn(shared_data, tmp_path, capsys):
    main(["--data", str(shared_data), "--out", str(tmp_path)])

    completion, ground, videos = (
        cv2.imread(str(tmp_path / name)) for name in ("completion.jpg", "ground.jpg", "films.jpg")
    )
    assert completion.shape[1] == 3 * 400  # image, depth of the sensor, completed
    assert ground.shape[1] == 4 * 400  # image, image alone, height and gravity known, sensor
    assert videos.shape[1] == 4 * 400
    sensor, completed = completion[:, 400:800], completion[:, 800:1100]  # without the colour bar
    assert without_hue(sensor) > 0.01  # grey: no depth
    assert without_hue(completed) < 0.001


def without_hue(bgr):
    """Share of the pixels in the grey that stands for no depth."""
    return float(
        ((bgr.max(-1).astype(int) - bgr.min(-1) < 12) & (abs(bgr[..., 0] - 64.0) < 8)).mean()
    )
