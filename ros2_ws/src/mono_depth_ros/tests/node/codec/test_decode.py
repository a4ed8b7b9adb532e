"""Every encoding of a known picture, padded, in both byte orders; and every malformed message."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mono_depth.errors import FrameError
from mono_depth_ros.codec import cv_bridge_conversions as bridge
from mono_depth_ros.codec.decode_image import decode_compressed, decode_depth, decode_image

pytestmark = pytest.mark.ros

# Six blocks of 2x2 pixels, so that chroma at half resolution loses nothing.
RED, GREEN, BLUE = (250, 10, 20), (30, 240, 10), (20, 40, 230)
WHITE, GREY, BLACK = (255, 255, 255), (128, 128, 128), (0, 0, 0)
PICTURE = np.array([[RED, GREEN, BLUE], [WHITE, GREY, BLACK]], np.uint8)
PICTURE = PICTURE.repeat(2, axis=0).repeat(2, axis=1)  # (4, 6, 3)
ORANGE = np.full((5, 7, 3), (200, 100, 50), np.uint8)
LUMA = np.array([[0, 1, 2], [100, 200, 255]], np.uint8)

COLOUR_ORDER = {
    "rgb8": "rgb",
    "bgr8": "bgr",
    "rgba8": "rgba",
    "bgra8": "bgra",
    "8UC3": "bgr",
    "8UC4": "bgra",
    "rgb16": "rgb",
    "bgr16": "bgr",
    "rgba16": "rgba",
    "bgra16": "bgra",
    "16UC3": "bgr",
    "16UC4": "bgra",
}
YUV = ["uyvy", "yuv422", "yuyv", "yuv422_yuy2", "nv12", "nv21", "nv24"]
MONO = ["mono8", "8UC1", "mono16", "16UC1"]
BAYER = [
    f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)
]


def message(
    encoding: str,
    width: int,
    height: int,
    rows: list[bytes],
    *,
    padding: int = 0,
    big: bool = False,
) -> Image:
    """Join rows; one of twice the length, as chroma has in NV24, gets twice the padding."""
    shortest = min(map(len, rows))
    msg = Image(width=width, height=height, encoding=encoding, step=shortest + padding)
    msg.is_bigendian = int(big)
    for row in rows:
        msg.data.frombytes(row + b"\xaa" * (padding * len(row) // shortest))
    return msg


def sample_bytes(samples: np.ndarray, encoding: str, big: bool) -> bytes:
    """Write 8 bit samples in the depth of the encoding; the low byte of 16 bits is noise."""
    if "16" not in encoding:
        return samples.tobytes()
    return (samples.astype(np.uint16) * 256 + 77).astype(">u2" if big else "<u2").tobytes()


def yuv_of(rgb: np.ndarray) -> np.ndarray:
    """Return BT.601 Y, Cb, Cr in studio swing."""
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    cb = 128 - 37.797 * r - 74.203 * g + 112.0 * b
    cr = 128 + 112.0 * r - 93.786 * g - 18.214 * b
    return np.rint(np.stack((y, cb, cr), -1)).astype(np.uint8)


def yuv_rows(encoding: str, rgb: np.ndarray) -> list[bytes]:
    y, cb, cr = np.moveaxis(yuv_of(rgb), -1, 0)
    if encoding in ("uyvy", "yuv422"):
        packed = np.stack((cb[:, ::2], y[:, ::2], cr[:, ::2], y[:, 1::2]), -1)
        return [row.tobytes() for row in packed]
    if encoding in ("yuyv", "yuv422_yuy2"):
        packed = np.stack((y[:, ::2], cb[:, ::2], y[:, 1::2], cr[:, ::2]), -1)
        return [row.tobytes() for row in packed]
    pair = (cr, cb) if encoding == "nv21" else (cb, cr)
    chroma = np.stack(pair, -1) if encoding == "nv24" else np.stack(pair, -1)[::2, ::2]
    return [row.tobytes() for row in y] + [row.tobytes() for row in chroma]


def mosaic_of(rgb: np.ndarray, pattern: str) -> np.ndarray:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for i, colour in enumerate(pattern):
        row, column = divmod(i, 2)
        mosaic[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return mosaic


def byte_orders(encodings: list[str]) -> list[tuple[str, bool]]:
    return [(e, big) for e in encodings for big in ((False, True) if "16" in e else (False,))]


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(list(COLOUR_ORDER)))
def test_colour_is_exact(encoding: str, big: bool, padding: int) -> None:
    planes = {c: PICTURE[..., i] for i, c in enumerate("rgb")} | {"a": np.full((4, 6), 7, np.uint8)}
    pixels = np.stack([planes[c] for c in COLOUR_ORDER[encoding]], -1)
    rows = [sample_bytes(row, encoding, big) for row in pixels]
    rgb = decode_image(message(encoding, 6, 4, rows, padding=padding, big=big))
    np.testing.assert_array_equal(rgb, PICTURE)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(MONO))
def test_mono_has_three_equal_channels(encoding: str, big: bool, padding: int) -> None:
    rows = [sample_bytes(row, encoding, big) for row in LUMA]
    rgb = decode_image(message(encoding, 3, 2, rows, padding=padding, big=big))
    np.testing.assert_array_equal(rgb, np.stack((LUMA,) * 3, -1))
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", YUV)
def test_yuv_is_right_within_its_rounding(encoding: str, padding: int) -> None:
    msg = message(encoding, 6, 4, yuv_rows(encoding, PICTURE), padding=padding)
    rgb = decode_image(msg)
    np.testing.assert_allclose(rgb.astype(int), PICTURE.astype(int), atol=3)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "big"), byte_orders(BAYER))
def test_bayer_gives_the_colour_of_the_mosaic(encoding: str, big: bool, padding: int) -> None:
    rows = [sample_bytes(row, encoding, big) for row in mosaic_of(ORANGE, encoding[6:10])]
    rgb = decode_image(message(encoding, 7, 5, rows, padding=padding, big=big))
    np.testing.assert_array_equal(rgb, ORANGE)
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("encoding", ["bgr8", "mono16", "nv12", "nv24", "bayer_rggb8"])
def test_the_padding_of_the_last_row_may_be_missing(encoding: str) -> None:
    rows = {
        "bgr8": [row.tobytes() for row in PICTURE[..., ::-1]],
        "mono16": [sample_bytes(row, "mono16", False) for row in PICTURE[..., 0]],
        "bayer_rggb8": [row.tobytes() for row in mosaic_of(PICTURE, "rggb")],
    }.get(encoding) or yuv_rows(encoding, PICTURE)
    msg = message(encoding, 6, 4, rows, padding=4)
    expected = decode_image(msg).copy()
    del msg.data[-4:]
    np.testing.assert_array_equal(decode_image(msg), expected)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "rgb16", "mono16"])
def test_one_pixel_is_an_image(encoding: str) -> None:
    channels = 1 if "mono" in encoding else 3
    row = sample_bytes(np.full(channels, 9, np.uint8), encoding, False)
    assert decode_image(message(encoding, 1, 1, [row])).tolist() == [[[9, 9, 9]]]


def test_an_8k_image_passes() -> None:
    msg = Image(width=7680, height=4320, encoding="mono8", step=7680)
    msg.data.frombytes(bytes(7680 * 4320))
    assert decode_image(msg).shape == (4320, 7680, 3)


def test_tight_rgb8_is_not_copied() -> None:
    msg = message("rgb8", 6, 4, [row.tobytes() for row in PICTURE])
    assert np.shares_memory(decode_image(msg), np.frombuffer(msg.data, np.uint8))


def test_ten_bit_sensors_are_not_black() -> None:
    row = np.array([0, 512, 1023, 2000], "<u2").tobytes()  # the last one exceeds ten bits
    rgb = decode_image(message("mono16", 4, 1, [row]), significant_bits=10)
    assert rgb[0, :, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize("encoding", BAYER[::2])
def test_cv_bridge_and_opencv_agree_on_bayer(encoding: str) -> None:
    pytest.importorskip("cv_bridge")
    mosaic = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
    converted = bridge.to_rgb(mosaic, encoding)
    if converted is None:
        assert not bridge.can_demosaic(encoding)  # cv_bridge 1.13 of PyPI lacks grbg
        return
    assert bridge.can_demosaic(encoding)
    opencv = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}[encoding[6:10]]
    expected = cv2.cvtColor(mosaic, getattr(cv2, f"COLOR_Bayer{opencv}2RGB"))
    np.testing.assert_array_equal(converted, expected)


@pytest.mark.skipif(np.__version__ < "2", reason="a compiled cv_bridge is welcome with NumPy 1")
def test_a_compiled_cv_bridge_is_not_imported_beside_numpy_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "cv_bridge"
    (package / "boost").mkdir(parents=True)
    (package / "boost" / "cv_bridge_boost.cpython-312-x86_64-linux-gnu.so").touch()
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    bridge._bridge.cache_clear()
    try:
        assert bridge.pixel_format("32FC3") is None
    finally:
        bridge._bridge.cache_clear()


def image(**changes: object) -> Image:
    """Return a correct 2x2 rgb8 image, but for the fields that are given."""
    msg = Image(width=2, height=2, encoding="rgb8", step=6)
    msg.data.frombytes(changes.pop("data", bytes(12)))
    for name, value in changes.items():
        setattr(msg, name, value)
    return msg


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": b""}, "has 0 bytes, expected 12"),
        ({"data": bytes(11)}, "2x2 rgb8 image with step 6 has 11 bytes, expected 12"),
        ({"data": bytes(13)}, "has 13 bytes, expected 12"),
        ({"step": 5}, "has step 5, expected at least 6"),
        ({"step": 0}, "has step 0, expected at least 6"),
        ({"width": 0}, "image of 0x2 pixels is empty"),
        ({"height": 0}, "image of 2x0 pixels is empty"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "expected at most 67108864 pixels"),
        ({"width": 2**16, "height": 2**16, "step": 3 * 2**16}, "expected at most 67108864 pixels"),
        ({"height": 2**24}, "has 12 bytes, expected 100663296"),
        ({"encoding": ""}, "encoding '' is not a picture, expected one of rgb8"),
        ({"encoding": "RGB8"}, "encoding 'RGB8' is not a picture"),
        ({"encoding": "32FC1", "step": 8, "data": bytes(16)}, "'32FC1' is not a picture"),
        ({"encoding": "32FC3", "step": 24, "data": bytes(48)}, "'32FC3' is not a picture"),
        ({"encoding": "16UC2", "step": 8, "data": bytes(16)}, "'16UC2' is not a picture"),
        (
            {"encoding": "bayer_rggb8", "step": 2, "data": bytes(4)},
            "2x2 bayer_rggb8 image, a mosaic",
        ),
        ({"encoding": "yuyv", "width": 3}, "yuyv image of width 3, expected an even width"),
        ({"encoding": "nv12", "height": 3}, "nv12 image of height 3, expected an even height"),
        ({"encoding": "nv12", "step": 2, "data": bytes(4)}, "has 4 bytes, expected 6"),
        ({"encoding": "nv24", "step": 2, "data": bytes(6)}, "has 6 bytes, expected 12"),
        ({"encoding": "mono16", "step": 2}, "has step 2, expected at least 4"),
    ],
)
def test_malformed_images_are_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(FrameError) as error:
        decode_image(image(**changes))
    assert text in str(error.value)


def test_random_fields_give_an_image_or_a_frame_error() -> None:
    rng = np.random.default_rng(0)
    encodings = [*COLOUR_ORDER, *YUV, *MONO, *BAYER, "32FC3", "8SC1", "jpeg"]
    decoded = 0
    for _ in range(3000):
        msg = Image(encoding=str(rng.choice(encodings)), is_bigendian=int(rng.integers(2)))
        msg.width, msg.height = (int(n) for n in rng.integers(0, 9, 2))
        msg.step = int(rng.integers(0, 30))
        msg.data.frombytes(bytes(int(msg.height * msg.step * rng.choice([1, 1, 1.5, 3, 0.9]))))
        try:
            rgb = decode_image(msg)
        except FrameError:
            continue
        assert rgb.shape == (msg.height, msg.width, 3)
        decoded += 1
    assert decoded > 300


# Compressed images


def compressed(data: bytes, form: str = "jpeg") -> CompressedImage:
    msg = CompressedImage(format=form)
    msg.data.frombytes(data)
    return msg


def encoded(extension: str, pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(extension, pixels, options)[1].tobytes()


BGR = PICTURE[..., ::-1].copy()
LARGE = np.kron(PICTURE, np.ones((16, 16, 1), np.uint8))  # (64, 96, 3), survives JPEG
LARGE_BGR = LARGE[..., ::-1].copy()
FILES = {
    "JPEG": encoded(".jpg", LARGE_BGR),
    "PNG": encoded(".png", LARGE_BGR),
    "WebP": encoded(".webp", LARGE_BGR, cv2.IMWRITE_WEBP_QUALITY, 90),
    "lossless WebP": encoded(".webp", LARGE_BGR, cv2.IMWRITE_WEBP_QUALITY, 101),
    "TIFF": encoded(".tiff", LARGE_BGR),
    "progressive JPEG": encoded(".jpg", LARGE_BGR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


@pytest.mark.parametrize("kind", FILES)
def test_compressed_colour_is_rgb(kind: str) -> None:
    rgb = decode_compressed(compressed(FILES[kind]))
    assert rgb.shape == LARGE.shape
    assert rgb.flags.c_contiguous
    inner = np.s_[8::32, 8::32]  # away from the borders of the blocks, where JPEG rings
    np.testing.assert_allclose(rgb[inner].astype(int), LARGE[inner].astype(int), atol=12)


@pytest.mark.parametrize("form", ["rgb8; jpeg compressed bgr8", "jpeg", "", "bgr8; png compressed"])
def test_the_file_decides_and_not_the_format_string(form: str) -> None:
    np.testing.assert_array_equal(
        decode_compressed(compressed(encoded(".png", BGR), form)), PICTURE
    )


def test_grey_jpeg_has_three_channels() -> None:
    rgb = decode_compressed(compressed(encoded(".jpg", np.full((16, 16), 90, np.uint8))))
    assert rgb.shape == (16, 16, 3)
    assert set(rgb.ravel().tolist()) == {90}


def test_16_bit_png_keeps_its_high_bytes() -> None:
    pixels = np.array([[0, 255, 256, 65535]], np.uint16)
    rgb = decode_compressed(compressed(encoded(".png", pixels), "mono16; png compressed "))
    assert rgb[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("form", "is_mosaic"),
    [("bayer_rggb8; png compressed ", True), ("bayer_rggb8; png compressed bgr8", False)],
)
def test_a_compressed_mosaic_becomes_colour(form: str, is_mosaic: bool) -> None:
    pixels = mosaic_of(ORANGE, "rggb") if is_mosaic else ORANGE[..., ::-1].copy()
    np.testing.assert_array_equal(
        decode_compressed(compressed(encoded(".png", pixels), form)), ORANGE
    )


def test_a_rotation_in_exif_data_is_ignored() -> None:
    tiff = b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    jpeg = FILES["JPEG"]
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (96, 64, 3)
    assert decode_compressed(compressed(jpeg)).shape == (64, 96, 3)


BOMBS = {
    "JPEG": bytes.fromhex("ffd8 ffc0 0011 08 ffff ffff 03 012200 021101 031101 ffda 0000 ffd9"),
    "PNG": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 65535, 65535) + b"IEND",
    "WebP": b"RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\xfe\xff\x00" * 2,
    "TIFF": b"II*\x00\x08\x00\x00\x00"
    + struct.pack("<H", 2)
    + struct.pack("<HHII", 256, 4, 1, 65535)
    + struct.pack("<HHII", 257, 4, 1, 65535),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_forged_size_is_refused_before_decoding(kind: str) -> None:
    with pytest.raises(FrameError, match="65535x65535 pixels, expected at most 67108864"):
        decode_compressed(compressed(BOMBS[kind]))


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_in_half_is_refused(kind: str) -> None:
    data = FILES[kind]
    with pytest.raises(FrameError, match=r"cut off|ends inside its header"):
        decode_compressed(compressed(data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes begins with nothing, expected JPEG, PNG, WebP or TIFF"),
        (b"hello, robot", "begins with 68 65 6c 6c, expected JPEG"),
        (b"\xff\xd8\xff", "3 bytes ends inside its header"),
        (b"\xff\xd8\xff\xc0\x00", "ends inside its header"),
        (b"\xff\xd8\xff\xe0\x00\x02garbage", "JPEG header is damaged at byte 6"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 30, "PNG begins with chunk b'xxxx'"),
        (FILES["JPEG"].replace(b"\xff\xdb", b"\xff\xfe"), "JPEG of 96x64 in"),
    ],
)
def test_garbage_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(FrameError) as error:
        decode_compressed(compressed(data))
    assert text in str(error.value)


def test_a_png_chunk_that_claims_gigabytes_is_refused() -> None:
    png = FILES["PNG"]
    at = png.index(b"IDAT") - 4
    with pytest.raises(FrameError, match=r"PNG of 96x64 in \d+ bytes is cut off"):
        decode_compressed(compressed(png[:at] + b"\xff\xff\xff\x00" + png[at + 4 :]))


def test_depth_is_not_a_picture() -> None:
    with pytest.raises(FrameError, match="'32FC1; compressedDepth png' holds depth"):
        decode_compressed(compressed(bytes(12) + FILES["PNG"], "32FC1; compressedDepth png"))


@pytest.mark.parametrize("kind", FILES)
def test_damaged_bytes_give_an_image_or_a_frame_error(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(FILES[kind])
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            rgb = decode_compressed(compressed(bytes(data)), max_pixels=100_000)
        except FrameError:
            continue
        assert rgb.dtype == np.uint8
        assert rgb.shape[0] * rgb.shape[1] <= 100_000


# Depth


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_depth_in_millimetres(big: bool, padding: int) -> None:
    rows = [np.array(row, ">u2" if big else "<u2").tobytes() for row in ([0, 1500], [1, 65535])]
    depth_m = decode_depth(message("16UC1", 2, 2, rows, padding=padding, big=big))
    np.testing.assert_allclose(depth_m, [[np.nan, 1.5], [0.001, 65.535]], rtol=1e-6)
    assert depth_m.dtype == np.float32


@pytest.mark.parametrize("big", [False, True])
def test_depth_in_metres_is_positive_or_nan(big: bool) -> None:
    row = np.array([1.5, 0.0, -2.0, np.inf, -np.inf, np.nan], ">f4" if big else "<f4").tobytes()
    depth_m = decode_depth(message("32FC1", 6, 1, [row], padding=4, big=big))
    np.testing.assert_array_equal(depth_m, [[1.5] + [np.nan] * 5])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "depth encoding 'rgb8', expected 16UC1 or 32FC1"),
        ({"encoding": "32FC1"}, "has step 6, expected at least 8"),
        ({"encoding": "16UC1", "step": 4}, "has 12 bytes, expected 8"),
        ({"encoding": "16UC1", "width": 2**20, "height": 2**20}, "expected at most 67108864"),
    ],
)
def test_malformed_depth_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(FrameError, match=text):
        decode_depth(image(**changes))
