import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mono_depth.commands.main import main
from mono_depth.models.store.registry import WeightsSource, read_registry, url_of

WEIGHTS = bytes(range(256)) * 40
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def torch_file() -> bytes:
    """Return what is a file of torch.save by all signs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", WEIGHTS)
    return file.getvalue()


class Hub(http.server.ThreadingHTTPServer):
    """A hub on this machine that counts what is asked of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str | None]] = []  # path and Range of each request
        self.can_resume = True
        self.body = WEIGHTS
        self.cut_after: int | None = None  # bytes, then the connection breaks


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.path.startswith("/lab/net/"):
            self.send_response(302)
            self.send_header("Location", "/cdn/net.pth")
            self.end_headers()
        elif self.path != "/cdn/net.pth":
            self.send_error(404)
        elif wanted and self.server.can_resume:
            self.send_rest(int(wanted.removeprefix("bytes=").removesuffix("-")))
        else:
            self.send_response(200)
            self.send_body(self.server.body)

    def send_rest(self, start: int) -> None:
        if start >= len(self.server.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.server.body)}")
            self.end_headers()
            return
        self.send_response(206)
        end = len(self.server.body) - 1
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(self.server.body)}")
        self.send_body(self.server.body[start:])

    def send_body(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Run `mono-depth models ...` with a registry that has the model `net`."""
    monkeypatch.setenv("MONO_DEPTH_WEIGHTS", str(tmp_path / "weights"))
    registry = tmp_path / "registry.yaml"

    def run(
        *arguments: str,
        sha256: str = SHA256,
        source: str = "hub: lab/net",
        commercial: str = "true",
    ) -> int:
        registry.write_text(
            "models: {net: {family: onnx, kind: metric, description: A net., licence: MIT, "
            f"commercial: {commercial}, weights: {{{source}, file: net.pth, sha256: {sha256}}}}}}}"
        )
        return main(["models", *arguments, "--registry", str(registry)])

    return run


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "weights" / "net" / "net.pth"


def part(target: Path) -> Path:
    return target.with_name("net.pth.part")


@pytest.mark.slow
def test_pull_puts_the_checked_file_in_place(hub, models, target, capsys):
    assert models("pull", "net") == 0

    assert target.read_bytes() == WEIGHTS
    assert hub.asked[0] == ("/lab/net/resolve/main/net.pth", None)
    assert [file.name for file in target.parent.iterdir()] == ["net.pth"]
    shown = capsys.readouterr()
    assert "weights under MIT (commercial use: yes)" in shown.out
    assert f"{target}, sha256 as pinned" in shown.out
    assert "100%" in shown.err


def test_pull_asks_for_nothing_where_the_file_is_here(hub, models, target):
    models("pull", "net")
    hub.asked.clear()

    assert models("pull", "net") == 0
    assert hub.asked == []


def test_a_broken_download_goes_on_where_it_stopped(hub, models, target, capsys):
    hub.cut_after = 4000
    assert models("pull", "net") == 1
    assert "ended after 4000 of 10240 bytes; pull again to go on" in capsys.readouterr().err
    assert part(target).read_bytes() == WEIGHTS[:4000]
    assert not target.exists()

    hub.cut_after = None
    assert models("pull", "net") == 0

    assert hub.asked[-1] == ("/cdn/net.pth", "bytes=4000-")
    assert target.read_bytes() == WEIGHTS


def test_a_download_starts_over_where_the_server_cannot_resume(hub, models, target):
    target.parent.mkdir(parents=True)
    part(target).write_bytes(b"old bytes")
    hub.can_resume = False

    assert models("pull", "net") == 0

    assert target.read_bytes() == WEIGHTS


def test_a_complete_part_only_needs_its_check(hub, models, target):
    target.parent.mkdir(parents=True)
    part(target).write_bytes(WEIGHTS)

    assert models("pull", "net") == 0

    assert target.read_bytes() == WEIGHTS


def test_a_part_that_is_longer_than_the_file_is_emptied(hub, models, target, capsys):
    target.parent.mkdir(parents=True)
    part(target).write_bytes(WEIGHTS + b"more")

    assert models("pull", "net") == 1
    assert "was emptied; pull again" in capsys.readouterr().err
    assert models("pull", "net") == 0

    assert target.read_bytes() == WEIGHTS


def test_another_file_than_the_pinned_one_is_thrown_away(hub, models, target, capsys):
    assert models("pull", "net", sha256="f" * 64) == 1

    assert f"sha256 {SHA256}, but the registry expects {'f' * 64}" in capsys.readouterr().err
    assert not target.parent.exists()


def test_a_damaged_file_that_is_here_is_not_taken_for_good(hub, models, target, capsys):
    target.parent.mkdir(parents=True)
    target.write_bytes(b"damaged")

    assert models("pull", "net") == 1

    assert "delete it and pull again" in capsys.readouterr().err


def test_a_file_without_a_known_hash_is_pulled_and_its_hash_shown(hub, models, target, capsys):
    hub.body = torch_file()

    assert models("pull", "net", sha256="null") == 0

    found = hashlib.sha256(hub.body).hexdigest()
    assert f"{target}, unverified, sha256 {found}" in capsys.readouterr().out


def test_a_plain_url_is_pulled_too(hub, models, target):
    assert models("pull", "net", source=f"url: '{hub.url}/cdn/net.pth'") == 0

    assert target.read_bytes() == WEIGHTS


def test_a_file_that_the_server_lacks_is_named(hub, models, target, capsys):
    assert models("pull", "net", source=f"url: '{hub.url}/cdn/none.pth'") == 1

    assert f"{hub.url}/cdn/none.pth answers 404" in capsys.readouterr().err
    assert not target.exists()


def test_only_web_addresses_are_pulled(models, capsys):
    assert models("pull", "net", source="url: 'file:///etc/hostname'") == 1

    assert "file:///etc/hostname is neither https nor http" in capsys.readouterr().err


def test_no_network_is_said_with_the_ways_out(models, target, monkeypatch, capsys, hub):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    assert models("pull", "net") == 1

    shown = capsys.readouterr().err
    assert "cannot download http://127.0.0.1:9/lab/net/resolve/main/net.pth" in shown
    assert f"copy the file from another machine to {target}" in shown


def test_offline_mode_asks_for_nothing(hub, models, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert models("pull", "net") == 1

    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    assert hub.asked == []


def test_two_pulls_do_not_write_the_same_file(hub, models, target, capsys):
    import fcntl

    target.parent.mkdir(parents=True)
    with part(target).open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert models("pull", "net") == 1

    assert "another pull is writing" in capsys.readouterr().err


def test_a_model_that_is_not_downloaded_says_where_its_file_belongs(models, tmp_path, capsys):
    assert models("pull", "net", source="revision: main") == 1

    assert f"its weights belong at {tmp_path / 'net.pth'}" in capsys.readouterr().err


def test_weights_behind_a_page_are_not_pulled_and_both_commands_name_the_page(tmp_path, capsys):
    page = "https://github.com/aim-uofa/AdelaiDepth/tree/main/LeReS"
    path = tmp_path / "leres_resnet50" / "res50.pth"

    assert main(["models", "pull", "leres_resnet50", "--weights-dir", str(tmp_path)]) != 0
    assert f"its weights belong at {path}; get them from {page}" in capsys.readouterr().err
    assert main(["models", "info", "leres_resnet50", "--weights-dir", str(tmp_path)]) == 0
    assert f"by hand from  {page}" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self):
        return True


def free_only(models, *arguments):
    return models("pull", "net", *arguments, commercial="false")


def test_weights_for_no_commercial_use_are_pulled_only_by_one_who_says_so(
    hub, models, target, capsys
):
    assert free_only(models) == 1

    shown = capsys.readouterr().err
    assert "the weights of net may not be used commercially" in shown
    assert "pull with --allow-noncommercial" in shown
    assert hub.asked == []
    assert free_only(models, "--allow-noncommercial") == 0
    assert target.read_bytes() == WEIGHTS


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_at_a_terminal_is_asked(hub, models, target, monkeypatch, capsys, answer, code):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))

    assert free_only(models) == code

    assert "Is your use another one? [y/N]" in capsys.readouterr().out
    assert target.exists() == (code == 0)


def test_a_disk_without_room_is_said_before_anything_is_written(
    hub, models, target, monkeypatch, capsys
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))

    assert models("pull", "net") == 1

    assert f"{target.parent} has room for 5000 bytes, 10240 are needed" in capsys.readouterr().err
    assert not target.parent.exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way_keeps_what_came(hub, models, target):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    run = "import sys; from mono_depth.commands.main import main; sys.exit(main(sys.argv[1:]))"
    models("list")  # writes the registry

    done = subprocess.run(
        [
            *(sys.executable, "-c", limit + ignore + run, "models", "pull", "net"),
            *("--registry", str(target.parents[2] / "registry.yaml")),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )

    assert done.returncode == 1
    assert f"cannot write {target}: File too large" in done.stderr
    assert not target.exists()
    assert models("pull", "net") == 0
    assert target.read_bytes() == WEIGHTS


def test_list_shows_what_is_here_and_what_is_verified(hub, models, target, capsys):
    hub.body = torch_file()
    models("pull", "net", sha256="null")
    capsys.readouterr()

    assert models("list", sha256="null") == 0

    shown = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in shown}
    assert rows["NAME"][1:4] == ["LICENCE", "COMMERCIAL", "SIZE"]
    assert rows["net"] == ["metric", "MIT", "yes", "0 MB", "-", "here", "unverified"]
    assert rows["depth_anything_v2_large"] == [
        *("inverse_affine", "CC-BY-NC-4.0", "no", "~1341 MB", "slow", "-", "pinned")
    ]
    assert rows["nano"][2:5] == ["yes", "6 MB", "fast"]
    assert rows["leres_resnet50"][1:5] == ["Adobe Research License", "no", "~209 MB", "medium"]


def test_info_tells_everything_about_one_model(models, tmp_path, capsys):
    assert models("info", "depth_anything_v2_metric_indoor_large") == 0

    shown = capsys.readouterr().out
    for text in (
        "CC-BY-NC-4.0",
        "lower_bound 518x518, multiples of 14, bicubic",
        "20 m",
        "335.3 M",
        "1810 GFLOP for 640x480 pixels (slow)",
        "(not here, ~1341 MB)",
        "never",
        str(tmp_path / "weights" / "depth_anything_v2_metric_indoor_large"),
        "6f82ff2bc543ac02ddff4aa31fa363676a8305dd3ccf04e80e2af115a044cb6d",
    ):
        assert text in shown


def test_info_tells_what_the_publishers_measured(models, capsys):
    assert models("info", "depth_anything_v1_base") == 0

    shown = capsys.readouterr().out
    assert "AbsRel 0.126 on ETH3D (https://github.com/LiheYoung/Depth-Anything#" in shown


@pytest.mark.slow
def test_path_prints_where_the_weights_are_and_fails_where_they_are_not(
    hub, models, target, capsys
):
    assert models("path", "net") == 1
    assert capsys.readouterr().out == f"{target}\n"

    models("pull", "net")
    capsys.readouterr()

    assert models("path", "net") == 0
    assert capsys.readouterr().out == f"{target}\n"


def test_an_unknown_model_is_an_error_that_names_close_ones(models, capsys):
    assert models("info", "nett") == 1

    assert "mono-depth: no model 'nett' in the registry: did you mean net" in (
        capsys.readouterr().err
    )


def test_revisions_and_odd_names_are_quoted_in_the_address(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    source = WeightsSource(hub="a/b", revision="refs/pr/1", file="my net.pth")

    assert url_of(source) == "https://mirror.example/a/b/resolve/refs%2Fpr%2F1/my%20net.pth"


def test_files_of_a_space_of_the_hub_come_from_the_mirror_too(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    source = read_registry()["depth_anything_v1_base"].weights[0]

    assert url_of(source) == (
        "https://mirror.example/spaces/LiheYoung/Depth-Anything/resolve/main/"
        "checkpoints/depth_anything_vitb14.pth"
    )
