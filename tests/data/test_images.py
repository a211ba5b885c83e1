"""Pictures by suffix: bit depths, orientation, alpha, and what is refused."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from untrained.data.images import read_image, read_picture
from untrained.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)


def write_png16(path, pixels: np.ndarray) -> None:
    """A PNG of 16 bits a sample, which Pillow cannot write in colour."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def planes(pixels: np.ndarray) -> np.ndarray:
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_8_bit_is_exact(tmp_path, suffix, pixels):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    image, notes = read_image(path)
    assert image.shape == (1, *planes(pixels).shape)
    assert np.array_equal(np.round(image[0].numpy() * 255), planes(pixels))
    assert notes == ()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_keeps_every_bit(tmp_path, channels):
    pixels = RNG.integers(0, 65536, (12, 9, channels)).astype(np.uint16)
    write_png16(tmp_path / "a.png", pixels)
    picture = read_picture(tmp_path / "a.png")
    kept = planes(pixels)[: min(channels, 3)]
    assert np.array_equal(np.round(picture.pixels.astype(np.float64) * 65535), kept)
    assert picture.integer
    assert ("alpha channel dropped" in picture.notes) == (channels == 4)


@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)])
def test_16_bit_and_float_tiff(tmp_path, shape):
    colours = "minisblack" if len(shape) == 2 else "rgb"
    pixels = RNG.integers(0, 65536, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=colours)
    values = read_picture(tmp_path / "a.tif").pixels
    assert np.array_equal(np.round(values.astype(np.float64) * 65535), planes(pixels))
    floats = RNG.standard_normal(shape).astype(np.float32)
    tifffile.imwrite(tmp_path / "f.tif", floats, photometric=colours)
    picture = read_picture(tmp_path / "f.tif")
    assert np.array_equal(picture.pixels, planes(floats))
    assert not picture.integer


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff(tmp_path, compression):
    Image.fromarray(COLOUR).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(np.round(read_picture(tmp_path / "a.tif").pixels * 255), planes(COLOUR))


def test_jpeg_is_close(tmp_path):
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image, _ = read_image(tmp_path / "a.jpg")
    assert np.abs(image[0, 0].numpy() - smooth / 255).max() < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".lzw.tif"])
def test_orientation_is_honoured(tmp_path, orientation, suffix):
    path = tmp_path / f"a{suffix}"
    image = Image.fromarray(COLOUR)
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "truth.png", exif=exif)
    with Image.open(tmp_path / "truth.png") as opened:
        upright = planes(np.asarray(ImageOps.exif_transpose(opened)))
    if suffix == ".png":
        image.save(path, exif=exif)
    else:
        compression = "tiff_lzw" if "lzw" in suffix else None
        image.save(path, compression=compression, tiffinfo={274: orientation})
    picture = read_picture(path)
    assert np.array_equal(np.round(picture.pixels * 255), upright)


@pytest.mark.parametrize(
    ("mode", "note", "channels"),
    [
        ("P", "palette", 3),
        ("1", None, 1),
        ("LA", "alpha", 1),
        ("RGBA", "alpha", 3),
        ("CMYK", "CMYK", 3),
    ],
)
def test_other_modes(tmp_path, mode, note, channels):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(COLOUR).convert(mode).save(path)
    picture = read_picture(path)
    assert picture.pixels.shape == (channels, 20, 30)
    assert (note is None and picture.notes == ()) or any(note in n for n in picture.notes)
    assert picture.pixels.min() >= 0
    assert picture.pixels.max() <= 1


@pytest.mark.parametrize(
    ("array", "scale"),
    [
        (GREY, 255),
        (np.moveaxis(COLOUR, -1, 0), 255),
        (GREY.astype(np.uint16) * 257, 65535),
        (GREY.astype(np.int16), 32767),
        (GREY.astype(np.float64) / 255, 1),
        (GREY > 99, 1),
    ],
)
def test_npy_scaling(tmp_path, array, scale):
    np.save(tmp_path / "a.npy", array)
    picture = read_picture(tmp_path / "a.npy")
    expected = (array / scale).astype(np.float32)
    assert np.allclose(picture.pixels, expected if array.ndim == 3 else expected[None], atol=1e-7)
    assert picture.integer == (array.dtype.kind != "f")


def test_complex_npy_is_a_picture_but_not_a_real_image(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 4), np.complex128))
    assert read_picture(tmp_path / "a.npy").pixels.dtype == np.complex64
    with pytest.raises(UserError, match="complex"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 3, 8, 8)), "without a batch axis"),
        (np.zeros(8), "without a batch axis"),
        (np.zeros((8, 8, 3)), "channels come first"),
        (np.zeros((0, 8)), "empty"),
        (np.full((8, 8), np.nan), "64 values NaN"),
        (np.full((8, 8), 1e300), "in single precision"),
        (np.array([["a", "b"]]), "numeric"),
    ],
)
def test_npy_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "a.npy")


def test_several_pages_are_refused_with_their_number(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match="5 pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_and_empty_files(tmp_path, name, kept):
    path = tmp_path / name
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UserError, match=r"empty|damaged|does not hold"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy"])
def test_contents_must_fit_the_suffix(tmp_path, name):
    (tmp_path / name).write_text("hello, this is text" * 20)
    with pytest.raises(UserError, match=name):
        read_image(tmp_path / name)
    Image.fromarray(GREY).save(tmp_path / "x.gif")
    (tmp_path / name).write_bytes((tmp_path / "x.gif").read_bytes())
    with pytest.raises(UserError, match=name):
        read_image(tmp_path / name)


def test_missing_file_directory_and_unknown_suffix(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(UserError, match="directory"):
        read_image(tmp_path)
    (tmp_path / "a.gif").write_text("x")
    with pytest.raises(UserError, match=r"must be one of \.png"):
        read_image(tmp_path / "a.gif")


@pytest.mark.parametrize("factor", [1.5, 3.0])
def test_a_large_picture_is_read_whatever_pillow_deems_safe(tmp_path, monkeypatch, factor):
    """Scans have 100 million pixels; Pillow's own limit is as before afterwards."""
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(GREY.size / factor))
    assert read_image(tmp_path / "a.png")[0].shape[2:] == GREY.shape
    assert int(GREY.size / factor) == Image.MAX_IMAGE_PIXELS


def test_decompression_bomb(tmp_path, monkeypatch):
    """A small file that says it is huge is refused by its header, before a pixel is decoded."""
    Image.new("L", (12000, 12000)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 2**20
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(UserError, match="zip bomb"):
        read_image(tmp_path / "a.png")


def test_reading_leaves_the_warning_filters_alone(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    before = list(warnings.filters)
    read_image(tmp_path / "a.png")
    assert warnings.filters == before
