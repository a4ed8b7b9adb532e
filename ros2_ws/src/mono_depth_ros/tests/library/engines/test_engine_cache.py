"""Stored engines: found only if they are whole and of this key."""

import contextlib
import json
import logging
import multiprocessing
import os
from dataclasses import replace

import pytest

from mono_depth.engines.cache import EngineCache, read_notes, write_notes
from mono_depth.engines.protocol import EngineError, EngineKey, Plan

KEY = EngineKey(
    model="nano",
    model_sha256="ab" * 32,
    arguments=("1x3x160x224", "1x2x160x224"),
    plan=Plan(engine="openvino", precision="bf16"),
    device="cpu: some processor",
    versions=(("openvino", "2026.4.1"), ("torch", "2.13.0")),
)
OTHERS = {
    "another file of weights": replace(KEY, model_sha256="cd" * 32),
    "another size": replace(KEY, arguments=("1x3x192x256", "1x2x192x256")),
    "another precision": replace(KEY, plan=Plan(engine="openvino", precision="fp32")),
    "another engine": replace(KEY, plan=Plan(engine="onnxruntime", precision="bf16")),
    "another processor": replace(KEY, device="cpu: another processor"),
    "another version": replace(KEY, versions=(("openvino", "2027.0.0"), ("torch", "2.13.0"))),
    "another name": replace(KEY, model="nano2"),
}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def writing(text, name="model.xml"):
    return lambda folder: (folder / name).write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_stored_is_found_by_another_cache_of_the_same_folder(cache):
    assert cache.find(KEY) is None

    stored = cache.put(KEY, writing("<net/>"))

    assert EngineCache(cache.folder).find(KEY) == stored
    assert (stored / "model.xml").read_text() == "<net/>"


@pytest.mark.parametrize("what", OTHERS)
def test_an_engine_of_another_key_is_not_taken(cache, what):
    cache.put(KEY, writing("<net/>"))
    assert cache.find(OTHERS[what]) is None

    other = cache.put(OTHERS[what], writing("<other/>"))

    assert (other / "model.xml").read_text() == "<other/>"
    assert (cache.find(KEY) / "model.xml").read_text() == "<net/>"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.xml").write_text("<nut/>"), "model.xml is missing or dam"),
        (lambda folder: (folder / "model.xml").unlink(), "model.xml is missing or damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing or damaged"),
        (lambda folder: os.truncate(folder / "manifest.json", 40), "manifest.json is missing or "),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is missing or"),
    ],
    ids=["changed", "gone", "no manifest", "half a manifest", "another manifest"],
)
def test_a_damaged_engine_is_built_anew(cache, caplog, damage, message):
    damage(cache.put(KEY, writing("<net/>")))

    with caplog.at_level(logging.WARNING):
        assert cache.find(KEY) is None

    assert message in caplog.text
    again = cache.put(KEY, writing("<new/>"))
    assert cache.find(KEY) == again
    assert (again / "model.xml").read_text() == "<new/>"
    assert names(cache.folder) == [again.name]


def test_an_engine_under_the_folder_of_another_key_is_not_taken(cache):
    """As after a copy by hand."""
    first = cache.put(KEY, writing("<net/>"))
    second = cache.put(OTHERS["another size"], writing("<other/>"))
    (first / "manifest.json").write_bytes((second / "manifest.json").read_bytes())

    assert cache.find(KEY) is None


def test_a_builder_that_fails_leaves_nothing(cache):
    def fails(folder):
        (folder / "model.xml").write_text("<half")
        raise EngineError("no memory")

    with pytest.raises(EngineError, match="no memory"):
        cache.put(KEY, fails)

    assert cache.find(KEY) is None
    assert names(cache.folder) == []


def test_the_first_of_two_builders_wins_and_is_not_disturbed(cache):
    stored = []

    def overtaken(folder):
        (folder / "model.xml").write_text("<slow/>")
        stored.append(EngineCache(cache.folder).put(KEY, writing("<fast/>")))

    assert cache.put(KEY, overtaken) == stored[0]
    assert (stored[0] / "model.xml").read_text() == "<fast/>"
    assert names(cache.folder) == [stored[0].name]


def store_and_delete(folder, letter):
    cache = EngineCache(folder)
    for _ in range(30):
        cache.remove(KEY)
        cache.put(KEY, writing(letter * 100_000))
        found = cache.find(KEY)
        text = ""
        with contextlib.suppress(OSError):  # the other process deleted it just now
            text = (found / "model.xml").read_text() if found else ""
        assert text in ("", "a" * 100_000, "b" * 100_000), len(text)


@pytest.mark.slow
def test_two_processes_that_store_and_delete_at_once_leave_a_whole_engine(cache):
    forks = multiprocessing.get_context("fork")  # nothing to import: they start at once
    builders = [forks.Process(target=store_and_delete, args=(cache.folder, x)) for x in "ab"]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=120)
    assert [builder.exitcode for builder in builders] == [0, 0]

    assert cache.find(KEY) is not None
    assert names(cache.folder) == [cache.find(KEY).name]


def test_the_engine_that_was_not_used_for_the_longest_time_makes_room(tmp_path):
    sizes = [replace(KEY, arguments=(f"1x3x{side}x{side}",)) for side in (32, 64, 96)]
    cache = EngineCache(tmp_path, limit_bytes=50_000)
    for age, key in zip((30, 20), sizes[:2], strict=True):
        manifest = cache.put(key, writing("x" * 20_000)) / "manifest.json"
        os.utime(manifest, (manifest.stat().st_mtime - age,) * 2)
    cache.find(sizes[0])  # now it is the newer one

    cache.put(sizes[2], writing("x" * 20_000))

    assert [key.arguments[0] for key in sizes if cache.find(key)] == ["1x3x32x32", "1x3x96x96"]


def test_a_listing_shows_key_size_and_notes(cache):
    def write(folder):
        (folder / "model.xml").write_text("x" * 1_000)
        write_notes(folder, {"relative_error": 0.01})

    folder = cache.put(KEY, write)
    (cache.folder / "scrap").mkdir()

    (engine,) = cache.stored()

    assert engine.folder == folder
    assert engine.key == KEY
    assert engine.bytes == sum(file.stat().st_size for file in folder.iterdir()) > 1_000
    assert engine.notes == read_notes(folder) == {"relative_error": 0.01}


def test_clearing_deletes_one_model_or_all(cache):
    first = cache.put(KEY, writing("<net/>"))
    second = cache.put(OTHERS["another name"], writing("<net/>"))
    (cache.folder / ".partial-abc").mkdir()
    size = sum(file.stat().st_size for file in first.iterdir())

    assert cache.clear("nano") == (1, size)
    assert names(cache.folder) == [".partial-abc", second.name]
    assert cache.clear()[0] == 2
    assert names(cache.folder) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EngineError, match=r"cannot store engines in .*file/engines: "):
        EngineCache(tmp_path / "file" / "engines").put(KEY, writing("<net/>"))


def test_engines_lie_beside_the_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("MONO_DEPTH_WEIGHTS", str(tmp_path))

    EngineCache().put(KEY, writing("<net/>"))

    (folder,) = (tmp_path / "engines").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["key"]["model"] == "nano"
