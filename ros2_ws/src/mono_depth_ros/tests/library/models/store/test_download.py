"""Downloads from a server on this machine that does what servers in the world do."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
import zipfile
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest

from mono_depth.commands.main import main
from mono_depth.data import OutputKind
from mono_depth.errors import ModelError
from mono_depth.models.store import fetch as fetch_module
from mono_depth.models.store.download import pull
from mono_depth.models.store.fetch import origin_file
from mono_depth.models.store.file_kind import whole_or_why
from mono_depth.models.store.registry import ModelEntry, WeightsSource, url_of


def weights(fill: int, size: int = 40_000) -> bytes:
    """Return a file as torch.save writes it, by all signs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", bytes([fill]) * size)
    return file.getvalue()


ONE, TWO = weights(1), weights(2)  # of one size and layout, as a network that was trained on


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """What a server has and does, by the path of a request."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    errors: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)  # once each
    cut_after: int | None = None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


class Answer(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self):
        site, path = self.site, self.path
        site.asked.append((path, {name.lower(): value for name, value in self.headers.items()}))
        if site.errors.get(path):
            code, headers = site.errors[path].pop(0)
            self.answer(code, b"", headers)
        elif path in site.redirects:
            target, headers = site.redirects[path]
            self.answer(302, b"", headers | {"Location": target})
        elif path not in site.files:
            self.answer(404, b"", {})
        else:
            self.send_file(site.files[path], site.etags.get(path))

    def send_file(self, content: bytes, etag: str | None) -> None:
        headers = dict(self.site.headers.get(self.path, {}))
        if etag:
            headers["ETag"] = etag
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if wanted and (condition is None or condition == etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], headers | {"Content-Range": place})
        else:
            self.answer(200, content, headers)

    def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: self.site.cut_after])

    def log_message(self, *args):
        pass


def serving(site: Site) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (Answer,), {"site": site})
    )
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.fixture
def site(monkeypatch, tmp_path):
    found = Site()
    server = serving(found)
    monkeypatch.setenv("HF_ENDPOINT", found.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch_module.time, "sleep", lambda _: None)
    yield found
    server.shutdown()
    server.server_close()


HUB = "/lab/net/resolve/main/net.pth"


def entry(*sources: WeightsSource, **changes: object) -> ModelEntry:
    fields = {
        "name": "net",
        "family": "onnx",
        "kind": OutputKind.METRIC,
        "description": "A net.",
        "licence": "MIT",
        "commercial": True,
        "weights": sources or (WeightsSource(hub="lab/net", file="net.pth"),),
    }
    return ModelEntry(**(fields | changes))


def part_of(folder: Path) -> Path:
    return folder / "net" / "net.pth.part"


def cut(site: Site, folder: Path, path: str = HUB, etag: str | None = '"one"') -> None:
    """Pull the first half of a file."""
    site.files[path] = ONE
    if etag:
        site.etags[path] = etag
    site.cut_after = 20_000
    with pytest.raises(ModelError, match="ended after 20000 of"):
        pull(entry(), folder)
    assert part_of(folder).stat().st_size == 20_000
    site.cut_after = None


# Going on


def test_a_download_goes_on_where_the_server_still_has_that_file(site, tmp_path):
    cut(site, tmp_path)
    assert pull(entry(), tmp_path).read_bytes() == ONE
    headers = site.asked[-1][1]
    assert (headers["range"], headers["if-range"]) == ("bytes=20000-", '"one"')
    assert [file.name for file in (tmp_path / "net").iterdir()] == ["net.pth"]


def test_a_file_that_changed_on_the_server_is_never_half_old_half_new(site, tmp_path):
    cut(site, tmp_path)
    site.files[HUB], site.etags[HUB] = TWO, '"two"'
    assert pull(entry(), tmp_path).read_bytes() == TWO


def test_where_nobody_tells_which_file_it_is_an_unpinned_download_starts_over(site, tmp_path):
    cut(site, tmp_path, etag=None)
    site.files[HUB] = TWO
    assert pull(entry(), tmp_path).read_bytes() == TWO
    assert "range" not in site.asked[-1][1]


def test_a_weak_etag_says_nothing_of_bytes(site, tmp_path):
    cut(site, tmp_path, etag='W/"one"')
    site.files[HUB] = TWO
    assert pull(entry(), tmp_path).read_bytes() == TWO


def test_the_time_of_the_last_change_stands_for_an_etag(site, tmp_path):
    site.headers[HUB] = {"Last-Modified": formatdate(1e9, usegmt=True)}
    cut(site, tmp_path, etag=None)
    site.files[HUB] = TWO
    site.headers[HUB] = {"Last-Modified": formatdate(1.1e9, usegmt=True)}
    assert pull(entry(), tmp_path).read_bytes() == TWO


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag(site, tmp_path, monkeypatch):
    cut(site, tmp_path)
    site.files[HUB], site.etags[HUB] = TWO, '"two"'
    send = Answer.send_file

    def ignoring(self, content, etag):
        del self.headers["If-Range"]
        send(self, content, etag)

    with monkeypatch.context() as patch:
        patch.setattr(Answer, "send_file", ignoring)
        with pytest.raises(ModelError, match=r"another file by now, .* was emptied; pull again"):
            pull(entry(), tmp_path)
    assert pull(entry(), tmp_path).read_bytes() == TWO


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', "{" * 3000, '{"url": "u", "x": 1}'])
def test_a_damaged_note_beside_a_part_is_no_note(site, tmp_path, text):
    cut(site, tmp_path)
    origin_file(part_of(tmp_path)).write_text(text)
    assert pull(entry(), tmp_path).read_bytes() == ONE


# What comes


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"<html>Log in</html>", {"Content-Type": "text/html; charset=utf-8"}, "with a web page"),
        (b"<html>Log in</html>", {}, "net.pth is not the file of net: it is a web page"),
        (ONE, {"Content-Encoding": "gzip"}, "comes packed with gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", {}, "is a Git LFS pointer"),
        (b'{"error": "moved"}', {}, "the answer of a server in JSON"),
        (ONE[:-30], {}, "its end is missing"),
        (b"\x00" * 5000, {}, "begins with zeros only"),
        (b"something else", {}, "it is text, which begins with 'something else'"),
    ],
)
def test_what_is_no_file_of_weights_is_not_kept(site, tmp_path, body, headers, message):
    site.files[HUB], site.headers[HUB] = body, headers
    with pytest.raises(ModelError, match=message):
        pull(entry(), tmp_path)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(("millions", "is_right"), [(0.01, True), (24.8, False), (1e-5, False)])
def test_the_size_must_be_that_of_the_network(site, tmp_path, millions, is_right):
    site.files[HUB] = ONE
    asked = entry(parameters_m=millions)
    if is_right:
        assert pull(asked, tmp_path).read_bytes() == ONE
    else:
        with pytest.raises(ModelError, match=r"bytes, for .* million parameters"):
            pull(asked, tmp_path)


def test_a_safetensors_file_must_be_as_long_as_its_header_says(tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(8)
    for content, reason in ((whole, ""), (whole[:-1], "its header tells of"), (whole[:20], "")):
        found = whole_or_why(io.BytesIO(content), len(content), ".safetensors")
        assert reason in found
        assert bool(found) == (content is not whole)


def test_the_hash_that_the_hub_states_counts_where_none_is_pinned(site, tmp_path):
    site.files["/cdn/net"] = ONE
    site.redirects[HUB] = ("/cdn/net", {"X-Linked-Etag": f'"{sha256(TWO)}"'})
    with pytest.raises(ModelError, match=f"but the hub expects {sha256(TWO)}"):
        pull(entry(), tmp_path)
    site.redirects[HUB] = ("/cdn/net", {"X-Linked-Etag": f'"{sha256(ONE)}"'})
    assert pull(entry(), tmp_path).read_bytes() == ONE


def test_a_broken_file_that_is_here_is_said_and_force_gets_it_anew(
    site, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MONO_DEPTH_WEIGHTS", str(tmp_path))
    registry = tmp_path / "registry.yaml"
    registry.write_text(
        "models: {net: {family: onnx, kind: metric, description: A net., licence: MIT, "
        "commercial: true, weights: {hub: lab/net, file: net.pth}}}"
    )
    target = tmp_path / "net" / "net.pth"
    target.parent.mkdir()
    target.write_bytes(b"<html>log in</html>")
    site.files[HUB] = ONE
    argv = ["models", "pull", "net", "--registry", str(registry)]
    assert main(["models", "list", "--registry", str(registry)]) == 0
    assert "  broken  " in capsys.readouterr().out
    assert main(argv) == 1
    assert "it is a web page" in (said := capsys.readouterr().err)
    assert "`mono-depth models pull net --force` gets it anew" in said
    assert main([*argv, "--force"]) == 0
    assert target.read_bytes() == ONE


# Who is asked


def test_the_token_goes_to_the_hub_and_to_no_other_host(site, tmp_path, monkeypatch):
    other = Site()
    server = serving(other)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    other.files["/cdn/net"] = ONE
    site.redirects[HUB] = ("/same/host", {})
    site.redirects["/same/host"] = (f"{other.url}/cdn/net", {})
    assert pull(entry(), tmp_path).read_bytes() == ONE
    assert [headers.get("authorization") for _, headers in site.asked] == ["Bearer hf_secret"] * 2
    assert [headers.get("authorization") for _, headers in other.asked] == [None]
    assert site.asked[0][1]["accept-encoding"] == "identity"
    server.shutdown()
    server.server_close()


def test_a_token_that_the_tools_of_the_hub_stored_is_used(site, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_stored\n")
    site.files[HUB] = ONE
    pull(entry(), tmp_path)
    assert site.asked[0][1]["authorization"] == "Bearer hf_stored"


def test_a_token_is_not_sent_in_the_clear_nor_to_other_sources(site, tmp_path, monkeypatch):
    from mono_depth.models.store.download import _token

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert _token("http://mirror.example/lab/net") == ""
    assert _token("https://mirror.example/lab/net") == "hf_secret"
    site.files["/net.pth"] = ONE
    pull(entry(WeightsSource(url=f"{site.url}/net.pth", file="net.pth")), tmp_path)
    assert "authorization" not in site.asked[0][1]


def test_the_reason_of_the_hub_reaches_the_user_with_the_way_out(site, tmp_path):
    headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to lab/net is restricted."}
    site.errors[HUB] = [(401, headers)]
    with pytest.raises(ModelError) as caught:
        pull(entry(), tmp_path)
    told = str(caught.value)
    assert "answers 401 Unauthorized: Access to lab/net is restricted." in told
    assert f"If {site.url}/lab/net asks for it, accept its licence there" in told
    assert "HF_TOKEN" in told


def test_the_second_source_is_asked_where_the_first_has_nothing(site, tmp_path, caplog):
    site.files["/mirror/net.pth"] = ONE
    second = WeightsSource(url=f"{site.url}/mirror/net.pth", file="net.pth")
    asked = entry(WeightsSource(hub="lab/net", file="net.pth"), second)
    assert pull(asked, tmp_path).read_bytes() == ONE
    assert "answers 404 Not Found; trying the next source of net" in caplog.text
    site.files.clear()
    (tmp_path / "net" / "net.pth").unlink()
    with pytest.raises(ModelError, match=r"/lab/net/.* 404 .*; .*/mirror/net.pth answers 404"):
        pull(asked, tmp_path)


def test_a_file_of_another_source_that_is_here_is_enough(site, tmp_path):
    second = WeightsSource(hub="lab/other", file="other.pth")
    there = tmp_path / "net" / "other.pth"
    there.parent.mkdir()
    there.write_bytes(ONE)
    assert pull(entry(WeightsSource(hub="lab/net", file="net.pth"), second), tmp_path) == there
    assert site.asked == []


def test_modelscope_is_a_source_beside_the_hub(site, tmp_path, monkeypatch):
    source = WeightsSource(modelscope="Lab/net", file="model.pt")
    monkeypatch.delenv("MODELSCOPE_DOMAIN", raising=False)
    assert url_of(source) == "https://www.modelscope.cn/models/Lab/net/resolve/master/model.pt"
    monkeypatch.setenv("MODELSCOPE_DOMAIN", site.url)
    site.files["/models/Lab/net/resolve/master/model.pt"] = ONE
    asked = entry(WeightsSource(hub="lab/net", file="model.pt"), source)
    assert pull(asked, tmp_path).read_bytes() == ONE


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, {"Retry-After": formatdate(0)}, {}])
def test_a_busy_server_is_asked_again_when_it_says_so(site, tmp_path, monkeypatch, headers):
    waited = []
    monkeypatch.setattr(fetch_module.time, "sleep", waited.append)
    site.files[HUB], site.errors[HUB] = ONE, [(429, headers), (503, headers)]
    assert pull(entry(), tmp_path).read_bytes() == ONE
    expected = {"2": [2.0, 2.0], None: [1.0, 2.0]}
    assert waited == expected.get(headers.get("Retry-After"), [0.0, 0.0])


@pytest.mark.parametrize("headers", [{"Retry-After": "86400"}, {"Retry-After": "9" * 300}])
def test_nobody_waits_for_hours(site, tmp_path, headers):
    site.errors[HUB] = [(503, headers)]
    with pytest.raises(ModelError, match="answers 503"):
        pull(entry(), tmp_path)
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("hf-mirror.com", "HF_ENDPOINT is 'hf-mirror.com', expected an address such as https"),
        ("http://[::1", r"HF_ENDPOINT is 'http://\[::1', expected an address"),
        ("http://host:port", "HF_ENDPOINT is 'http://host:port', expected an address"),
        ("ftp://mirror.example", "HF_ENDPOINT is 'ftp://mirror.example'"),
    ],
)
def test_an_endpoint_that_is_no_address_is_named(site, tmp_path, monkeypatch, endpoint, message):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ModelError, match=message):
        pull(entry(), tmp_path)
    assert not (tmp_path / "net").exists()


def test_a_proxy_that_cannot_be_used_is_named(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(ModelError, match="socks is not supported"):
        pull(entry(), tmp_path)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/net.pth"])
def test_a_redirect_to_something_else_than_the_web_is_not_followed(site, tmp_path, target):
    site.redirects[HUB] = (target, {})
    with pytest.raises(ModelError, match=r"answers 302|expected https"):
        pull(entry(), tmp_path)


# What is on this machine


def test_a_file_in_the_cache_of_the_hub_is_copied_and_nobody_asked(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "hf" / "hub" / "models--lab--net"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc123")
    (folder / "blobs").mkdir()
    (folder / "blobs" / "x").write_bytes(ONE)
    (folder / "snapshots" / "abc123").mkdir(parents=True)
    (folder / "snapshots" / "abc123" / "net.pth").symlink_to("../../blobs/x")
    found = pull(entry(), tmp_path)
    assert (found.read_bytes(), found.is_symlink(), site.asked) == (ONE, False, [])


def test_links_are_not_followed_when_something_is_written(site, tmp_path):
    site.files[HUB] = ONE
    precious = tmp_path / "precious"
    precious.write_text("mine")
    part = part_of(tmp_path)
    part.parent.mkdir()
    part.symlink_to(precious)
    with pytest.raises(ModelError, match="cannot write"):
        pull(entry(), tmp_path)
    part.unlink()
    origin_file(part).symlink_to(precious)
    (part.parent / "net.pth").symlink_to(tmp_path / "nothing")
    pull(entry(), tmp_path)
    assert precious.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_what_ships_with_the_package_needs_no_download(capsys):
    assert main(["models", "pull", "nano"]) == 0
    assert "nano.safetensors, sha256 as pinned" in capsys.readouterr().out
