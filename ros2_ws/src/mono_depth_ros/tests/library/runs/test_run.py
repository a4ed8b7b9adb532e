"""A source becomes a folder of depth: whole, resumable, and with an account of every frame."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from mono_depth.pipeline.build import build_pipeline
from mono_depth.recordings.frames.open import OpenOptions, open_frames
from mono_depth.runs.options import RunOptions
from mono_depth.runs.output_folder import OutputFolder
from mono_depth.runs.run import expected_frames, run

SEQUENCE = "synthetic:room/robot/1/32x24"
FRAMES = 4


@pytest.fixture(scope="module")
def config(tiny_models):
    return PipelineConfig(
        model="tiny_metric",
        registry=str(tiny_models),
        engine="onnxruntime",
        precision="fp32",
        threads=1,
        device="cpu",
    )


@pytest.fixture(scope="module")
def pipeline(config):
    built = build_pipeline(config)
    yield built
    built.close()


@pytest.fixture(scope="module")
def source():
    """Frames of a drive, rendered once."""
    opened = open_frames(SEQUENCE, OpenOptions())
    frames = [item for item, _ in zip(opened.frames(), range(FRAMES), strict=False)]
    loaded = {item.name: item.load() for item in frames}
    kept = [replace(item, load=lambda name=item.name: loaded[name]) for item in frames]
    return replace(opened, frames=lambda: iter(kept), count=FRAMES)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def photos(folder: Path, **images: int) -> Path:
    folder.mkdir()
    for name, grey in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), _picture(grey))
    return folder


def _picture(grey: int) -> np.ndarray:
    """Return an image that shows something: stripes about a grey."""
    rows, columns = np.mgrid[:24, :32]
    return np.repeat((grey + 20 * ((rows // 4 + columns // 4) % 2))[..., None], 3, 2).astype("u1")


def test_every_kind_of_file_holds_the_same_depth(source, pipeline, config, tmp_path):
    options = RunOptions(outputs=("png", "npy", "tiff", "exr", "color", "ply", "glb"), most=1)

    account = run(source, pipeline, config, options, tmp_path)

    assert account.text() == "found 1 frames = done 1 + failed 0 + skipped 0"
    depth_m = np.load(tmp_path / "npy" / "000000.npy")
    about = json.loads((tmp_path / "depth" / "000000.json").read_text())
    png = cv2.imread(str(tmp_path / "depth" / "000000.png"), cv2.IMREAD_UNCHANGED)
    assert png.dtype == np.uint16
    np.testing.assert_allclose(png * about["png"]["metres_per_unit"], depth_m, atol=0.00051)
    tiff = cv2.imread(str(tmp_path / "tiff" / "000000.tiff"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(tiff, depth_m)
    assert about["model"] == {"name": "tiny_metric", "licence": "CC0-1.0", "kind": "metric"}
    assert about["files"] == [
        "depth/000000.png",
        "npy/000000.npy",
        "tiff/000000.tiff",
        "exr/000000.exr",
        "cloud/000000.ply",
        "cloud/000000.glb",
        "color/000000.png",
    ]
    assert all((tmp_path / name).stat().st_size > 0 for name in about["files"])


@pytest.mark.slow
def test_what_was_interrupted_ends_as_if_nothing_had_happened(source, pipeline, config, tmp_path):
    options = RunOptions(outputs=("png", "npy", "color"))
    run(source, pipeline, config, options, tmp_path / "at_once")

    def stop(account):
        if account.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, pipeline, config, options, tmp_path / "twice", progress=stop)
    assert not (tmp_path / "twice" / "account.json").exists()
    account = run(source, pipeline, config, options, tmp_path / "twice")

    assert (account.done, account.reused) == (FRAMES, 2)
    assert bytes_of(tmp_path / "twice") == bytes_of(tmp_path / "at_once")


def test_what_is_done_is_not_done_again(source, pipeline, config, tmp_path):
    options = RunOptions(outputs=("png",), most=2)
    run(source, pipeline, config, options, tmp_path)
    made = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}

    account = run(source, pipeline, config, options, tmp_path)

    assert account.text().endswith("(2 were there already)")
    assert all(file.stat().st_mtime_ns == time for file, time in made.items())


def test_other_settings_do_not_mix_with_what_is_there(source, pipeline, config, tmp_path):
    run(source, pipeline, config, RunOptions(outputs=("png",), most=1), tmp_path)
    other = RunOptions(outputs=("png",), most=2)

    with pytest.raises(ConfigError, match=r"options\.most: 1, now 2"):
        run(source, pipeline, config, other, tmp_path)
    assert run(source, pipeline, config, other, tmp_path, overwrite=True).done == 2


def test_a_folder_of_something_else_is_left_alone(source, pipeline, config, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(ConfigError, match=r"holds thesis\.txt"):
        run(source, pipeline, config, RunOptions(), tmp_path, overwrite=True)
    assert bytes_of(tmp_path) == {"thesis.txt": b"years of work"}


def test_two_processes_do_not_write_one_folder(source, pipeline, config, tmp_path):
    with (
        OutputFolder.opened(tmp_path),
        pytest.raises(ConfigError, match="another process writes to"),
    ):
        run(source, pipeline, config, RunOptions(), tmp_path)


def test_a_broken_photo_is_named_and_stops_no_other(pipeline, config, tmp_path):
    folder = photos(tmp_path / "in", a=60, b=120, c=180)
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "d.png").write_bytes(b"no image")
    opened = open_frames(str(folder), OpenOptions())
    assert not opened.is_video

    account = run(opened, pipeline, config, RunOptions(outputs=("npy",)), tmp_path / "out")

    assert (account.found, account.done) == (4, 2)
    assert "b.png is cut off" in account.failed["b"]
    assert "d.png is damaged or not an image" in account.failed["d"]
    # Photographs have nothing to do with one another.
    alone = open_frames(str(folder / "c.png"), OpenOptions())
    run(alone, pipeline, config, RunOptions(outputs=("npy",)), tmp_path / "alone")
    assert (tmp_path / "alone/npy/c.npy").read_bytes() == (tmp_path / "out/npy/c.npy").read_bytes()


def test_what_failed_is_tried_again_when_asked(pipeline, config, tmp_path):
    folder = photos(tmp_path / "in", a=60, b=120)
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[:-20] + bytes(20))  # as long, but damaged
    options, out = RunOptions(outputs=("npy",)), tmp_path / "out"
    first = run(open_frames(str(folder), OpenOptions()), pipeline, config, options, out)
    assert list(first.failed) == ["b"]

    (folder / "b.png").write_bytes(whole)
    again = open_frames(str(folder), OpenOptions())
    assert run(again, pipeline, config, options, out).failed == first.failed
    assert run(again, pipeline, config, options, out, again=True).done == 2


def test_a_photo_has_no_video_of_all_frames(pipeline, config, tmp_path):
    folder = photos(tmp_path / "in", a=60)

    with pytest.raises(ConfigError, match="mp4 is one file of all frames"):
        run(
            open_frames(str(folder), OpenOptions()),
            pipeline,
            config,
            RunOptions(outputs=("png", "mp4")),
            tmp_path / "out",
        )


def test_a_network_without_metres_gives_inverse_depth_and_says_why(tiny_models, source, tmp_path):
    config = PipelineConfig(
        model="tiny_affine",
        registry=str(tiny_models),
        engine="onnxruntime",
        precision="fp32",
        threads=1,
        device="cpu",
    )
    pipeline = build_pipeline(config)

    options = RunOptions(outputs=("png", "color"), inputs=(), most=1)
    account = run(source, pipeline, config, options, tmp_path)

    assert account.without_metres == 1
    assert not (tmp_path / "depth" / "000000.png").exists()
    assert np.load(tmp_path / "relative" / "000000.npy").shape == (24, 32)
    about = json.loads((tmp_path / "depth" / "000000.json").read_text())
    assert not about["is_metric"]
    assert about["scale"]["reason"]


def test_late_and_repeated_frames_are_skipped_and_named(source, pipeline, config, tmp_path):
    items = list(source.frames())
    repeated = replace(items[1], name="repeated", load=items[0].load)
    drive = replace(source, frames=lambda: iter([items[0], repeated, items[1]]))

    account = run(drive, pipeline, config, RunOptions(outputs=("png",)), tmp_path)

    assert (account.found, account.done) == (3, 2)
    assert account.skipped == {"repeated": "the stamp repeats that of the frame before"}


@pytest.mark.slow
def test_a_video_and_a_bag_of_all_frames_are_made(source, pipeline, config, tmp_path):
    pytest.importorskip("rosbags", reason="the package rosbags reads and writes bags")
    from mono_depth.recordings.bag_reader import BagReader

    options = RunOptions(outputs=("png", "mp4", "mcap"), is_beside=True)
    run(source, pipeline, config, options, tmp_path)

    video = cv2.VideoCapture(str(tmp_path / "color.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 2 * 32
    assert [file.name for file in (tmp_path / "recording").glob("*.mcap")] == ["recording.mcap"]
    bag = BagReader(tmp_path / "recording")
    (depth,) = [t for t in bag.topics("sensor_msgs/msg/Image") if t.name.endswith("depth/image")]
    stored = list(bag.messages(depth))
    assert len(stored) == FRAMES
    found_m = np.frombuffer(stored[2].content.data, "<f4").reshape(24, 32)
    png = cv2.imread(str(tmp_path / "depth" / "000002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(found_m, png / 1000.0, atol=0.00051)
    (cloud,) = bag.named_topics("sensor_msgs/msg/PointCloud2")
    assert len(cloud) == FRAMES
    (poses,) = bag.named_topics("tf2_msgs/msg/TFMessage", "/tf")
    moved = next(bag.messages(poses)).content.transforms[0].transform.translation
    T = next(iter(source.frames())).load().T_odom_camera
    np.testing.assert_allclose([moved.x, moved.y, moved.z], T[:3, 3])


@pytest.mark.acceptance
def test_frames_with_poses_become_a_mesh(source, pipeline, config, tmp_path):
    pytest.importorskip("open3d", reason="the package open3d fuses the frames")

    account = run(source, pipeline, config, RunOptions(outputs=("png", "mesh")), tmp_path)

    assert account.done == FRAMES
    assert (tmp_path / "mesh.ply").read_bytes().startswith(b"ply")


def test_options_that_cannot_be_are_refused():
    for wrong, message in (
        ({"outputs": ("gif",)}, "outputs gif: expected some of"),
        ({"every": 0}, "every and stride are at least 1"),
        ({"near_m": 3.0, "far_m": 1.0}, "expected 0 < near < far"),
        ({"colormap": "pink"}, "'pink' is not one of"),
    ):
        with pytest.raises(ConfigError, match=message):
            RunOptions(**wrong)


def test_how_many_frames_will_be_taken_is_known_where_the_source_knows_it(source):
    for count, every, most, expected in (
        (10, 1, 0, 10),
        (10, 3, 0, 4),
        (10, 3, 2, 2),
        (10, 1, 50, 10),
        (None, 1, 0, None),
        (None, 2, 7, 7),
    ):
        options = RunOptions(every=every, most=most)
        assert expected_frames(replace(source, count=count), options) == expected


def test_who_watches_a_run_is_shown_each_frame_with_its_maps(source, pipeline, config, tmp_path):
    shown = []
    options = RunOptions(outputs=("png",), most=2)

    run(source, pipeline, config, options, tmp_path, watch=lambda *seen: shown.append(seen))

    assert [frame.stamp_ns for frame, _ in shown] == sorted(frame.stamp_ns for frame, _ in shown)
    assert [maps.depth_m.shape for _, maps in shown] == [(24, 32)] * 2
