"""Who may talk to the server."""

from __future__ import annotations

import re

import pytest

from mono_depth.config import PipelineConfig
from mono_depth.errors import ConfigError
from web_client import running

TOKEN = "0123456789abcdef"
OURS = re.compile(r"https?://(?!www\.w3\.org/2000/svg)")


def test_only_names_of_this_machine_are_answered(client):
    for host in ("127.0.0.1", "localhost:8008", "[::1]:8008"):
        assert client.get("/livez", Host=host).status == 200, host
    for host in ("example.org", "127.0.0.1.example.org", "", "0.0.0.0:8008"):
        answer = client.get("/livez", Host=host)
        assert answer.status == 403, host


def test_pages_of_other_sites_are_refused_and_none_is_invited(client, grey):
    same = client.post_image("/v1/depth", grey(), Origin=client.address)
    assert same.status == 200
    assert not [name for name in same.headers if name.startswith("access-control")]
    for origin in ("https://example.org", "null", "http://127.0.0.1:1"):
        answer = client.post_image("/v1/depth", grey(), Origin=origin)
        assert (answer.status, answer.json["error"]["code"]) == (403, "forbidden"), origin
    asked = client.ask("OPTIONS", "/v1/depth", headers={"Origin": "https://example.org"})
    assert asked.status == 403


def test_the_page_may_load_nothing_from_elsewhere(client):
    for path in ("/", "/docs", "/page/app.js", "/page/style.css", "/page/plotly.min.js"):
        answer = client.get(path)
        assert answer.status == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in policy
        if "plotly" not in path:
            assert not OURS.search(answer.body.decode()), path
    assert client.get("/page/plotly.min.js").body.startswith(b"/*")


@pytest.mark.slow
def test_with_a_token_nothing_but_livez_is_answered_without_it(tiny_models, grey):
    config = PipelineConfig(model="tiny_metric", registry=str(tiny_models), device="cpu")
    with running(config, token=TOKEN) as client:
        assert client.get("/livez", Host="robot.local").status == 200
        for path in ("/", "/readyz", "/metrics", "/v1/models", "/openapi.json", "/?token=wrong"):
            answer = client.get(path)
            assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized"), path
        shown = {"Authorization": f"Bearer {TOKEN}"}
        for _ in range(600):
            if client.get("/readyz", **shown).status == 200:
                break
        assert client.post_image("/v1/depth", grey(), **shown).status == 200
        assert client.get("/v1/models", Authorization=f"Bearer {TOKEN}x").status == 401
        page = client.get(f"/?token={TOKEN}")
        assert (page.status, page.headers["location"]) == (303, "/")
        cookie = page.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.get("/", Cookie=cookie.partition(";")[0]).status == 200


def test_an_address_of_the_network_needs_a_token():
    pytest.importorskip("uvicorn", reason="the extra web brings uvicorn")
    pytest.importorskip("fastapi", reason="the extra web brings fastapi")
    from mono_depth.web.limits import ServerLimits
    from mono_depth.web.server import serve

    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached .* a token is needed"):
        serve(PipelineConfig(), ServerLimits(), host="0.0.0.0")
