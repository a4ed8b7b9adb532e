"""Files for other programs name parameters that those have, with values that do not hurt."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import pytest
import yaml

from mono_depth.commands import stvl
from mono_depth.config import ScanConfig
from mono_depth.data import Intrinsics
from mono_depth.evaluation.driving.drive import CLEARS, MARKS, SOURCE_TIMEOUT_S

PACKAGE = Path(__file__).resolve().parents[2]
FILES = PACKAGE / "config" / "robots"

# As the code of each program declares them.
COSTMAP = {
    "global_frame", "robot_base_frame", "update_frequency", "publish_frequency", "rolling_window",
    "width", "height", "resolution", "robot_radius", "track_unknown_space", "plugins",
}  # fmt: skip
LAYER = {
    "plugin", "enabled", "footprint_clearing_enabled", "combination_method", "observation_sources",
    "min_obstacle_height", "max_obstacle_height", "tf_filter_tolerance",
}  # fmt: skip
VOXEL = LAYER | {
    "publish_voxel_map", "origin_z", "z_resolution", "z_voxels", "unknown_threshold",
    "mark_threshold",
}  # fmt: skip
SOURCE_OF_LAYER = {
    "topic", "sensor_frame", "observation_persistence", "expected_update_rate", "data_type",
    "min_obstacle_height", "max_obstacle_height", "inf_is_valid", "marking", "clearing",
    "obstacle_max_range", "obstacle_min_range", "raytrace_max_range", "raytrace_min_range",
    "transport_type",
}  # fmt: skip
INFLATION = {"plugin", "inflation_radius", "cost_scaling_factor"}
STVL = {
    "plugin", "enabled", "voxel_decay", "decay_model", "voxel_size", "mark_threshold",
    "transform_tolerance", "observation_sources",
}  # fmt: skip
SOURCE_OF_STVL = {
    "topic", "data_type", "marking", "clearing", "min_z", "max_z", "vertical_fov_angle",
    "horizontal_fov_angle", "decay_acceleration", "model_type", "filter", "voxel_min_points",
    "clear_after_reading", "obstacle_range", "min_obstacle_height", "max_obstacle_height",
    "expected_update_rate", "observation_persistence", "inf_is_valid",
}  # fmt: skip
MONITOR = {
    "base_frame_id", "odom_frame_id", "cmd_vel_in_topic", "cmd_vel_out_topic", "state_topic",
    "transform_tolerance", "source_timeout", "base_shift_correction", "stop_pub_timeout",
    "polygons", "observation_sources",
}  # fmt: skip
POLYGON = {
    "type", "points", "radius", "action_type", "min_points", "trigger_consecutive_points",
    "release_consecutive_points", "slowdown_ratio", "time_before_collision",
    "simulation_time_step", "visualize", "enabled",
}  # fmt: skip
SOURCE_OF_MONITOR = {
    "type", "topic", "enabled", "source_timeout", "min_height", "max_height", "min_range",
    "use_global_height", "transport_type",
}  # fmt: skip
OCTOMAP = {
    "frame_id", "base_frame_id", "resolution", "sensor_model.max_range", "sensor_model.hit",
    "sensor_model.miss", "sensor_model.min", "sensor_model.max", "filter_ground_plane",
    "point_cloud_min_z", "point_cloud_max_z", "occupancy_min_z", "occupancy_max_z",
}  # fmt: skip
PX4 = {"CP_DIST", "CP_DELAY", "CP_GUIDE_ANG", "CP_GO_NO_DATA"}
ARDUPILOT = {
    "PRX1_TYPE", "PRX1_ORIENT", "PRX1_YAW_CORR", "AVOID_ENABLE", "AVOID_MARGIN", "AVOID_BEHAVE",
}  # fmt: skip
TOPICS = {"/mono_depth/scan", "/mono_depth/points_obstacles", "/mono_depth/points_clearing"}


def loaded(name: str) -> dict:
    return yaml.safe_load((FILES / name).read_text())


def costmap(name: str) -> dict:
    return loaded(name)["local_costmap"]["local_costmap"]["ros__parameters"]


def sources(layer: dict) -> dict[str, dict]:
    return {name: layer[name] for name in layer["observation_sources"].split()}


@pytest.mark.parametrize(
    ("name", "layer", "known", "of_source"),
    [
        ("nav2.yaml", "obstacle_layer", LAYER, SOURCE_OF_LAYER),
        ("nav2_voxel.yaml", "voxel_layer", VOXEL, SOURCE_OF_LAYER),
        ("stvl.yaml", "stvl_layer", STVL, SOURCE_OF_STVL),
    ],
)
def test_costmap_files_name_what_the_layers_declare(name, layer, known, of_source):
    told = costmap(name)
    heard = sources(told[layer])

    assert set(told) - COSTMAP <= {layer, "inflation_layer"}
    assert layer in told["plugins"]
    assert set(told[layer]) - set(heard) <= known
    assert set(told.get("inflation_layer", {})) <= INFLATION
    for source in heard.values():
        assert set(source) <= of_source
        assert source["topic"] in TOPICS


@pytest.mark.parametrize(
    ("name", "layer", "farthest"),
    [
        ("nav2.yaml", "obstacle_layer", "obstacle_max_range"),
        ("nav2_voxel.yaml", "voxel_layer", "obstacle_max_range"),
        ("stvl.yaml", "stvl_layer", "obstacle_range"),
    ],
)
def test_the_scan_reaches_farther_than_what_is_marked(name, layer, farthest):
    marking = [source for source in sources(costmap(name)[layer]).values() if source["marking"]]

    assert marking
    for source in marking:
        assert source[farthest] < ScanConfig().range_max_m
        assert source["max_obstacle_height"] > ScanConfig().max_height_m
        assert 0.0 < source["expected_update_rate"] <= 1.0


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("nav2.yaml", "obstacle_layer"),
        ("nav2_voxel.yaml", "voxel_layer"),
        ("stvl.yaml", "stvl_layer"),
    ],
)
def test_only_what_is_seen_to_be_free_clears(name, layer):
    """Assumed metres mark and never clear; a source that marks would clear up to what it marks."""
    clearing = [source for source in sources(costmap(name)[layer]).values() if source["clearing"]]

    assert [source["topic"] for source in clearing] == ["/mono_depth/points_clearing"]
    assert not clearing[0]["marking"]


def test_the_drive_proves_the_values_of_the_file():
    told = sources(costmap("nav2.yaml")["obstacle_layer"])
    monitor = loaded("nav2.yaml")["collision_monitor"]["ros__parameters"]

    for source, proved in ((told["mono_scan"], MARKS), (told["mono_clear"], CLEARS)):
        values = {name: value for name, value in vars(proved).items() if name in source}
        values.pop("expected_update_rate")  # the monitor stops the drive, before the layer does
        assert {name: source[name] for name in values} == values
    assert monitor["source_timeout"] == SOURCE_TIMEOUT_S


def test_the_collision_monitor_knows_its_parameters():
    told = loaded("nav2.yaml")["collision_monitor"]["ros__parameters"]
    polygons = {name: told[name] for name in told["polygons"]}
    heard = {name: told[name] for name in told["observation_sources"]}

    assert set(told) - set(polygons) - set(heard) <= MONITOR
    for polygon in polygons.values():
        assert set(polygon) <= POLYGON
        assert polygon["action_type"] in {"stop", "slowdown", "limit", "approach", "none"}
    for source in heard.values():
        assert set(source) <= SOURCE_OF_MONITOR
        assert source["topic"] in TOPICS


def test_octomap_knows_its_parameters():
    told = loaded("octomap.yaml")["octomap_server"]["ros__parameters"]

    assert set(told) <= OCTOMAP
    assert told["sensor_model.miss"] < 0.5 < told["sensor_model.hit"]


@pytest.mark.parametrize(
    ("name", "line", "known"),
    [
        ("px4.params", r"param set (\w+) (-?[\d.]+)", PX4),
        ("ardupilot.parm", r"(\w+) (-?[\d.]+)", ARDUPILOT),
    ],
)
def test_autopilots_know_their_parameters(name, line, known):
    lines = (FILES / name).read_text().splitlines()
    told = [re.fullmatch(line, text) for text in lines if text and not text.startswith("#")]

    assert all(told)
    assert {found.group(1) for found in told} <= known


def test_orb_slam3_reads_metres():
    text = (FILES / "orb_slam3_rgbd.yaml").read_text()

    assert text.startswith("%YAML:1.0\n")
    told = yaml.safe_load(text.removeprefix("%YAML:1.0\n"))
    assert told["RGBD.DepthMapFactor"] == 1.0
    assert told["File.version"] == "1.0"


def test_rtabmap_pairs_by_exact_stamps():
    tree = ast.parse((PACKAGE / "launch" / "rtabmap.launch.py").read_text())
    told = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
    }

    assert told["PARAMETERS"]["approx_sync"] is False
    assert told["PARAMETERS"]["subscribe_depth"] is True
    inputs = {topic for _, topic, _ in told["TOPICS"].values()}
    assert inputs == {"rgb/image", "rgb/camera_info", "depth/image", "odom"}


# The field of view for STVL.


def test_the_file_has_the_angles_of_the_camera_that_it_names():
    clear = sources(costmap("stvl.yaml")["stvl_layer"])["mono_clear"]
    camera = Intrinsics(width=640, height=480, fx=554.0, fy=554.0, cx=319.5, cy=239.5)

    angles = stvl.angles_of_view(camera)

    assert angles[0] == pytest.approx(clear["horizontal_fov_angle"], abs=1e-3)
    assert angles[1] == pytest.approx(clear["vertical_fov_angle"], abs=1e-3)


def test_an_axis_off_the_middle_gives_the_narrower_half_twice():
    camera = Intrinsics(width=640, height=480, fx=500.0, fy=500.0, cx=219.5, cy=239.5)

    assert stvl.angles_of_view(camera)[0] == pytest.approx(2.0 * math.atan(220.0 / 500.0))


def test_the_angles_are_read_from_a_calibration_file(tmp_path, capsys):
    file = tmp_path / "camera.yaml"
    file.write_text(
        "image_width: 640\nimage_height: 480\n"
        "projection_matrix: {rows: 3, cols: 4,"
        " data: [554, 0, 319.5, 0, 0, 554, 239.5, 0, 0, 0, 1, 0]}\n"
    )

    assert stvl.main(["--calibration", str(file)]) == 0
    assert capsys.readouterr().out == "horizontal_fov_angle: 1.048\nvertical_fov_angle: 0.818\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "give --calibration"), (["--calibration", "nowhere.yaml"], "is no calibration")],
)
def test_without_a_camera_it_says_what_to_give(arguments, words, capsys):
    assert stvl.main(arguments) == 1
    assert words in capsys.readouterr().err
