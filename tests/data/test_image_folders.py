"""Folders of images: classes, parts, and every way a picture can be wrong."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentia import data
from latentia.data import image_folders
from latentia.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 6, 5, 3), np.uint8)


def _save(folder: Path, images: Any, suffix: str = ".png", **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:03d}{suffix}", **options)


@pytest.mark.parametrize(("images", "suffix"), [(GREY, ".png"), (COLOUR, ".png"), (COLOUR, ".BMP"), (GREY, ".tif"),
                                                (GREY, ".pgm"), (COLOUR, ".ppm"), (GREY > 99, ".png")])  # fmt: skip
def test_pixels_are_those_of_the_files(tmp_path: Path, images: Any, suffix: str) -> None:
    _save(tmp_path / "photos", images, suffix)
    rows, labels = data.read(tmp_path / "photos")
    np.testing.assert_array_equal(rows, images)
    assert labels is None
    dataset = data.load(tmp_path / "photos")
    assert dataset.info.name == "photos"
    assert dataset.info.event_shape == images.shape[1:]
    assert str(dataset.info.support) == ("binary" if images.dtype == bool else "levels:256")
    assert dataset.train.x.dtype == np.uint8


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    _save(tmp_path / "cat", GREY[:4])
    _save(tmp_path / "ant", GREY[4:])
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / ".hidden.png").write_text("no image")
    (tmp_path / ".DS_Store").write_text("")
    rows, labels = data.read(tmp_path)
    np.testing.assert_array_equal(rows, np.concatenate([GREY[4:], GREY[:4]]))
    assert np.asarray(labels).tolist() == ["ant"] * 8 + ["cat"] * 4
    dataset = data.load(tmp_path)
    assert dataset.info.class_names == ("ant", "cat")
    codes = np.concatenate([np.asarray(split.y) for split in (dataset.train, dataset.valid, dataset.test)])
    assert np.bincount(codes).tolist() == [8, 4]


def test_train_and_test_are_parts(tmp_path: Path) -> None:
    for part, images in (("train", GREY[:10]), ("test", GREY[10:])):
        _save(tmp_path / part / "a", images[::2])
        _save(tmp_path / part / "b", images[1::2])
    dataset = data.load(tmp_path)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == (9, 1, 2)
    assert dataset.info.class_names == ("a", "b")
    np.testing.assert_array_equal(dataset.test.x, GREY[10:])
    assert np.asarray(dataset.test.y).tolist() == [0, 1]
    with pytest.raises(DataError, match="holds the parts train, test"):
        data.read(tmp_path)


def test_images_and_classes_cannot_be_mixed(tmp_path: Path) -> None:
    _save(tmp_path, GREY[:2])
    _save(tmp_path / "cat", GREY[2:])
    with pytest.raises(DataError, match=r"holds images both directly \(000\.png\) and in sub-folders \(cat\)"):
        data.load(tmp_path)


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(DataError, match=r"holds no images: \.bmp, .* files are needed"):
        data.load(tmp_path)


def test_another_size_is_named(tmp_path: Path) -> None:
    _save(tmp_path, GREY)
    Image.fromarray(np.zeros((6, 6), np.uint8)).save(tmp_path / "007.png")
    expected = r"007\.png is 6 × 6 grey, but .*000\.png is 5 × 6 grey: all images must have the same size and mode"
    with pytest.raises(DataError, match=expected):
        data.load(tmp_path)


def test_another_mode_is_named(tmp_path: Path) -> None:
    _save(tmp_path, GREY)
    Image.fromarray(COLOUR[0]).save(tmp_path / "007.png")
    with pytest.raises(DataError, match=r"007\.png is 5 × 6 RGB, but .*000\.png is 5 × 6 grey"):
        data.load(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not an image", None])
def test_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    _save(tmp_path, np.repeat(GREY, 20, axis=1))
    path = tmp_path / "007.png"
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(DataError, match=r"007\.png cannot be read as an image and may be damaged"):
        data.load(tmp_path)


def test_palettes_and_opaque_alpha_are_colour(tmp_path: Path) -> None:
    for index in range(10):
        Image.fromarray(COLOUR[index]).quantize(256).save(tmp_path / f"{index}.png")
    Image.fromarray(COLOUR[0]).convert("RGBA").save(tmp_path / "x.png")
    rows, _ = data.read(tmp_path)
    assert rows.shape == (11, 6, 5, 3)
    np.testing.assert_array_equal(rows[10], COLOUR[0])
    np.testing.assert_array_equal(rows[0], COLOUR[0])  # 30 pixels have at most 30 colours


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (Image.new("RGBA", (5, 6), (1, 2, 3, 128)), "is transparent in places: put it on a background first"),
        (Image.new("I;16", (5, 6)), "has mode I;16, but 8-bit grey or RGB images are needed: convert it first"),
        (Image.new("F", (5, 6)), "has mode F"),
    ],
)
def test_other_modes(tmp_path: Path, image: Image.Image, why: str) -> None:
    suffix = ".tif" if image.mode == "F" else ".png"
    image.save(tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match=f"a{suffix} {why}"):
        data.load(tmp_path)


def test_several_pictures_in_a_file(tmp_path: Path) -> None:
    frames = [Image.fromarray(image) for image in GREY[:3]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"a\.gif holds several pictures"):
        data.load(tmp_path)


def test_photographs_stand_upright(tmp_path: Path) -> None:
    """Cameras store a turned picture and say so beside it."""
    image = Image.fromarray(COLOUR[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    for index in range(10):
        image.save(tmp_path / f"{index}.png", exif=exif)
    rows, _ = data.read(tmp_path)
    np.testing.assert_array_equal(rows[0], np.rot90(COLOUR[0], -1))


def _huge_png(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 11_000, 60_000])
def test_decompression_bombs(tmp_path: Path, side: int) -> None:
    """Above our limit, above Pillow's warning, above Pillow's error."""
    (tmp_path / "a.png").write_bytes(_huge_png(side))
    with pytest.raises(DataError, match=r"a\.png has .*pixels.*at most 50,000,000 are"):
        data.load(tmp_path)


def test_all_images_together_are_limited(tmp_path: Path) -> None:
    _save(tmp_path, GREY)
    assert image_folders.read_image_folder(tmp_path, max_bytes=360)["all"][0].nbytes == 360
    with pytest.raises(DataError, match=r"the 12 images of .* take 360 bytes, but at most 359 are allowed"):
        image_folders.read_image_folder(tmp_path, max_bytes=359)


@pytest.mark.parametrize("kind", ["EPS", "PCX", "TGA"])
def test_formats_beyond_the_known_few_are_not_opened(tmp_path: Path, kind: str) -> None:
    """Pillow goes by the content, not the name, and for EPS it starts another program."""
    with io.BytesIO() as stream:
        Image.fromarray(COLOUR[0]).save(stream, kind)
        (tmp_path / "a.png").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        data.load(tmp_path)


def test_label_makes_no_sense(tmp_path: Path) -> None:
    _save(tmp_path, GREY)
    with pytest.raises(DataError, match="label and drop name columns of a table"):
        data.load(tmp_path, label="kind")
