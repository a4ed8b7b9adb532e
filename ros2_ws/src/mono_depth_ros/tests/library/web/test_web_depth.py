"""Depth of an upload, and its files, read by programs that are not ours."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mono_depth.config import PipelineConfig
from web_client import glb, image, npy, ply, resident, running, wait_until_ready

LEFT_M, RIGHT_M = 2.0, 4.0  # of grey(): 50 / 25 and 100 / 25


@pytest.fixture
def posted(client, grey):
    """The JSON of an image of which the left is at 2 m and the right at 4 m."""
    answer = client.post_form("/v1/depth", grey(), fov_deg="60")
    assert answer.status == 200, answer.body
    return answer.json


def test_json_has_the_numbers_and_links_to_files(posted, client):
    assert (posted["width"], posted["height"], posted["is_metric"]) == (48, 32, True)
    statistics = posted["statistics"]
    assert statistics["min"] == pytest.approx(LEFT_M, abs=1e-3)
    assert statistics["max"] == pytest.approx(RIGHT_M, abs=1e-3)
    assert statistics["share_unknown"] == statistics["share_beyond"] == 0.0
    assert sum(statistics["histogram"]["counts"]) == 48 * 32
    assert posted["scale"]["state"] == "assumed"
    assert posted["scale"]["sigma_rel"] == 0.5
    assert posted["model"] == {"name": "tiny_metric", "licence": "CC0-1.0", "kind": "metric"}
    assert posted["intrinsics"]["fx"] == pytest.approx(24 / np.tan(np.radians(30)))
    assert any("nothing measured the scale" in text for text in posted["warnings"])
    for path in posted["files"].values():
        assert client.get(path).status == 200, path


def test_each_file_decodes_to_the_same_depth_within_a_millimetre(posted, client):
    files = {name: client.get(path).body for name, path in posted["files"].items()}
    depth_m = npy(files["depth.npy"])
    assert depth_m.dtype == np.float32
    assert depth_m[16, [4, 44]] == pytest.approx([LEFT_M, RIGHT_M], abs=1e-3)
    assert image(files["depth.png"]).dtype == np.uint16
    assert abs(image(files["depth.png"]) * 0.001 - depth_m).max() <= 0.00051
    np.testing.assert_array_equal(image(files["depth.tiff"]), depth_m)
    np.testing.assert_array_equal(npy(files["shown.npy"]), depth_m)
    assert files["depth.exr"][:4] == bytes.fromhex("762f3101")
    points = ply(files["cloud.ply"])
    camera = posted["intrinsics"]
    column = points["xyz"][:, 0] / points["xyz"][:, 2] * camera["fx"] + camera["cx"]
    row = points["xyz"][:, 1] / points["xyz"][:, 2] * camera["fy"] + camera["cy"]
    seen_m = depth_m[np.rint(row).astype(int), np.rint(column).astype(int)]
    assert abs(points["xyz"][:, 2] - seen_m).max() < 1e-4
    np.testing.assert_allclose(glb(files["cloud.glb"]) * [1, -1, -1], points["xyz"], atol=1e-6)
    assert image(files["color.png"]).shape == image(files["image.jpg"]).shape == (32, 48, 3)
    beside = json.loads(files["depth.json"])
    assert beside["depth_png"]["unknown"] == 0
    assert beside["depth_png"]["pixels_beyond"] == 0
    assert {"intrinsics", "scale", "model", "statistics"} <= set(beside)


@pytest.mark.parametrize(
    ("accept", "begin"),
    [
        ("image/png", b"\x89PNG"),
        ("application/x-npy", b"\x93NUMPY"),
        ("image/tiff", b"II*\0"),
        ("image/x-exr", bytes.fromhex("762f3101")),
        ("model/ply", b"ply\n"),
        ("model/gltf-binary", b"glTF"),
        ("application/json", b"{"),
        ("text/csv;q=0.9, model/ply;q=0.1, image/png;q=0.5", b"\x89PNG"),
        ("text/html, */*;q=0.8", b"{"),
    ],
)
def test_the_answer_is_what_accept_asks_for(client, grey, accept, begin):
    answer = client.post_image("/v1/depth", grey(), Accept=accept)

    assert answer.status == 200
    assert answer.body.startswith(begin)
    if begin != b"{":
        assert answer.headers["x-depth-unit"] == ("mm" if "png" in accept else "m")
        assert answer.headers["x-scale-state"] == "assumed"


def test_the_founding_form_answers_all_at_once(client, grey):
    whole = client.post_form("/predict", grey()).json
    small = client.post_form("/predict", grey(), resolution="24x8").json
    narrow = client.post_form("/predict", grey(), resolution="12").json

    assert whole["success"] is small["success"] is True
    depth_mm = image(base64.b64decode(whole["depth_image"]))
    assert (depth_mm.dtype, depth_mm.shape) == (np.uint16, (32, 48))
    assert abs(depth_mm[16, [4, 44]] - np.array([2000.0, 4000.0])).max() <= 1
    linked = client.get(whole["depth_image_url"])
    np.testing.assert_array_equal(image(linked.body), depth_mm)
    assert image(base64.b64decode(small["depth_image"])).shape == (8, 24)
    assert image(base64.b64decode(narrow["depth_image"])).shape == (8, 12)


def test_a_known_length_sets_all_metres(client, grey):
    ends = {"known_from": "4,16", "known_to": "10,16", "fov_deg": "60"}
    plain = client.post_form("/v1/depth", grey(), fov_deg="60").json
    seen = client.get(f"/v1/results/{plain['id']}/length?from=4,16&to=10,16").json["length"]
    twice = str(2.0 * seen["value_m"])

    scaled = client.post_form("/v1/depth", grey(), known_length_m=twice, **ends).json

    assert scaled["statistics"]["max"] == pytest.approx(2 * RIGHT_M, abs=1e-2)
    assert scaled["scale"]["source"] == "known_length"
    assert scaled["scale"]["state"] == "converging"
    assert scaled["planner_use"] == "mark"
    assert scaled["scale"]["sigma_rel"] < plain["scale"]["sigma_rel"]
    again = client.get(f"/v1/results/{scaled['id']}/length?from=4,16&to=10,16").json["length"]
    assert again["value_m"] == pytest.approx(float(twice), rel=1e-3)
    assert again["high_m"] / again["low_m"] < seen["high_m"] / seen["low_m"]


def test_a_known_length_of_another_unit_is_doubted(client, grey):
    fields = {"known_length_m": "700", "known_from": "4,16", "known_to": "10,16"}
    warnings = client.post_form("/v1/depth", grey(), **fields).json["warnings"]

    assert any("is it in metres" in text for text in warnings)


def test_a_height_without_ground_in_view_is_not_used_and_that_is_said(client, grey):
    answer = client.post_form("/v1/depth", grey(), camera_height_m="1.2").json

    assert answer["scale"]["state"] == "assumed"
    assert any(text.startswith("camera_height_m was not used") for text in answer["warnings"])


def test_a_wall_is_as_wide_as_its_pixels_say_and_its_bounds_hold_it(client, grey, posted):
    path = f"/v1/results/{posted['id']}/length"
    found = client.get(f"{path}?from=30,16&to=40,16").json

    wide_m = 10 / posted["intrinsics"]["fx"] * RIGHT_M
    assert found["length"]["value_m"] == pytest.approx(wide_m, rel=1e-3)
    assert found["length"]["low_m"] < wide_m < found["length"]["high_m"]
    assert found["length"]["share"] == 0.9
    assert found["to_depth"]["value_m"] == pytest.approx(RIGHT_M, abs=1e-3)
    assert client.get(f"{path}?from=30,16&to=90,16").status == 422
    assert client.get(f"{path}?from=30,16").status == 422


def test_maps_in_fewer_pixels_mix_none(client, posted):
    path = posted["files"]["depth.npy"]
    small = npy(client.get(f"{path}?max_side=12").body)

    assert small.shape == (8, 12)
    assert set(np.unique(small)) <= set(np.unique(npy(client.get(path).body)))
    for text in ("-1", "1e3", "9" * 5000):
        assert client.get(f"{path}?max_side={text}").status == 422


def test_colours_follow_the_request(client, posted):
    path = posted["files"]["color.png"]
    turbo = client.get(f"{path}?colormap=turbo")
    flat = client.get(f"{path}?colormap=gray&equalise=true")

    assert len({turbo.body, flat.body, client.get(path).body}) == 3
    assert client.get(f"{path}?colormap=rainbow").status == 422
    assert client.get("/v1/colormaps").json["gray"][255] == [255, 255, 255]


def test_a_result_can_be_forgotten(client, posted):
    path = f"/v1/results/{posted['id']}"
    assert client.get(path).json["statistics"] == posted["statistics"]
    assert client.ask("DELETE", path).status == 204
    assert client.get(path).status == 404


def test_images_do_not_know_one_another(client, grey):
    first = client.post_image("/v1/depth", grey(50), Accept="application/x-npy").body
    client.post_image("/v1/depth", grey(150))

    assert client.post_image("/v1/depth", grey(50), Accept="application/x-npy").body == first


def test_models_and_documents_are_told(client):
    models = client.get("/v1/models").json["models"]
    assert models[0]["name"] == "tiny_metric"
    assert models[0]["is_default"]
    assert not next(row for row in models if row["name"] == "tiny_absent")["is_installed"]
    assert not next(row for row in models if row["name"] == "tiny_forbidden")["is_installed"]
    document = client.get("/openapi.json").json
    assert {"/v1/depth", "/predict", "/v1/models", "/readyz"} <= set(document["paths"])
    form = document["paths"]["/v1/depth"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert {"image", "known_length_m", "model"} <= set(form["schema"]["properties"])


def test_counters_tell_what_was_answered(client, grey):
    client.post_image("/v1/depth", grey())
    client.get("/made/up/by/a/client")
    text = client.get("/metrics").body.decode()

    assert 'mono_depth_requests_total{route="/v1/depth",status="200"}' in text
    assert 'route="other",status="404"' in text
    assert "made/up" not in text
    assert "mono_depth_ready 1\n" in text


def test_another_model_can_be_chosen_and_relative_depth_has_no_metres(client, grey):
    answer = client.post_form("/v1/depth", grey(), model="tiny_inverse").json

    assert answer["is_metric"] is False
    assert set(answer["files"]) == {"color.png", "image.jpg", "shown.npy", "sigma_rel.npy"}
    for path in answer["files"].values():
        assert client.get(path).status == 200
    metres = client.get(f"/v1/results/{answer['id']}/depth.png")
    assert (metres.status, metres.json["error"]["code"]) == (422, "no_metres")
    query = "/v1/depth?model=tiny_inverse&known_length_m=1&known_from=4,4&known_to=9,9"
    assert client.post_image(query, grey()).json["error"]["code"] == "no_metres"
    assert client.post_form("/predict", grey(), model="tiny_inverse").json["success"] is False


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_leaves_a_server_that_says_so(tiny_models, grey):
    config = PipelineConfig(model="tiny_absent", registry=str(tiny_models), device="cpu")
    with running(config) as client:
        for _ in range(200):
            ready = client.get("/readyz")
            if "failed" in ready.json["error"]["message"]:
                break
        assert (ready.status, ready.json["error"]["code"]) == (503, "not_ready")
        assert client.get("/livez").status == 200
        assert client.post_image("/v1/depth", grey()).status == 503


@pytest.mark.acceptance
def test_a_hundred_at_once_are_all_answered_in_flat_memory(tiny_models, grey):
    config = PipelineConfig(model="nano", registry=str(tiny_models), device="cpu")
    with running(config, waiting=8, kept_results=4) as client:
        wait_until_ready(client)
        large = cv2.resize(image(grey()), (1600, 1200))
        body = cv2.imencode(".png", large)[1].tobytes()

        def post(_):
            answer = client.post_image("/v1/depth", body)
            return answer.status, answer.headers.get("retry-after")

        with ThreadPoolExecutor(100) as pool:
            list(pool.map(post, range(100)))
            before = resident(client)
            answers = list(pool.map(post, range(100)))

        assert {status for status, _ in answers} == {200, 429}
        assert all(after for status, after in answers if status == 429)
        assert sum(status == 200 for status, _ in answers) >= 9  # the queue was never idle
        assert resident(client) - before < 100e6
        assert b"mono_depth_queue_taken 0\n" in client.get("/metrics").body
