"""Folders of images, whose sub-folders are classes; by Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from latentia.errors import DataError
from latentia.storage import show

__all__ = ["read_image_folder"]

Array = NDArray[Any]

# Pillow knows many more formats; some of them start other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
MAX_PIXELS = 50_000_000
MAX_BYTES = 4 * 10**9


def read_image_folder(folder: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, tuple[Array, Array | None]]:
    """Read every image of a folder, in the order of the names.

    Images in sub-folders belong to the class that the sub-folder is named for. Sub-folders ``train`` and ``test`` (and
    maybe ``valid``) are parts instead, each a folder of images of its own. Hidden files and files of other kinds are
    passed over.

    Parameters
    ----------
    folder
        The folder.
    max_bytes
        The most that all images may take in memory.

    Returns
    -------
    parts
        "all", or "train", "test" and maybe "valid": images (N, H, W) or (N, H, W, 3) uint8, truth values for images of
        one bit; and class names (N,) or None.

    Raises
    ------
    DataError
        If there is no image, images differ in size or kind, or one cannot be read; it names the file.
    """
    folders = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    if {"train", "test"} <= folders <= {"train", "valid", "test"}:
        return {part: _read_part(folder / part, max_bytes) for part in ("train", "valid", "test") if part in folders}
    return {"all": _read_part(folder, max_bytes)}


def _read_part(folder: Path, max_bytes: int) -> tuple[Array, Array | None]:
    paths, labels = _list(folder)
    first = _read_image(paths[0])
    if first.nbytes * len(paths) > max_bytes:
        raise DataError(
            f"the {len(paths):,} images of {show(folder)} take {first.nbytes * len(paths):,} bytes, but at most "
            f"{max_bytes:,} are allowed: reduce them, or convert them to a .npy file"
        )
    images = np.empty((len(paths), *first.shape), first.dtype)
    for row, path in enumerate(paths):
        image = _read_image(path)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DataError(
                f"{show(path)} is {_kind(image)}, but {show(paths[0])} is {_kind(first)}: "
                "all images must have the same size and mode; resize or convert them first"
            )
        images[row] = image
    return images, None if labels is None else np.array(labels)


def _list(folder: Path) -> tuple[list[Path], list[str] | None]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    flat = [entry for entry in entries if _is_image(entry)]
    classes = {entry.name: _images_in(entry) for entry in entries if entry.is_dir()}
    classes = {name: images for name, images in classes.items() if images}
    if flat and classes:
        raise DataError(
            f"{show(folder)} holds images both directly ({show(flat[0].name)}) and in sub-folders "
            f"({show(next(iter(classes)))}): put all into sub-folders, one for each class, or none"
        )
    if not flat and not classes:
        raise DataError(f"{show(folder)} holds no images: {', '.join(sorted(SUFFIXES))} files are needed")
    if flat:
        return flat, None
    return (
        [path for images in classes.values() for path in images],
        [name for name, images in classes.items() for _ in images],
    )


def _images_in(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if _is_image(entry) and not entry.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _read_image(path: Path) -> Array:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # also of Pillow's own warning about decompression bombs
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise DataError(
                        f"{show(path)} has {width} × {height} pixels, but at most {MAX_PIXELS:,} are allowed"
                    )
                if getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{show(path)} holds several pictures: save each as a file of its own")
                return _to_array(ImageOps.exif_transpose(image), path)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{show(path)} has far too many pixels: at most {MAX_PIXELS:,} are allowed") from None
    except Exception as error:  # noqa: BLE001 - decoders raise many kinds on damaged files
        raise DataError(f"{show(path)} cannot be read as an image and may be damaged: {show(error)}") from None


def _to_array(image: Image.Image, path: Path) -> Array:
    if image.mode in ("1", "L", "RGB"):
        return np.asarray(image)
    if image.mode == "P" and "transparency" not in image.info:
        return np.asarray(image.convert("RGB"))
    if image.mode in ("LA", "RGBA", "P"):
        full = np.asarray(image.convert("RGBA"))
        if (full[..., 3] == 255).all():
            return np.asarray(image.convert("L" if image.mode == "LA" else "RGB"))
        raise DataError(f"{show(path)} is transparent in places: put it on a background first")
    raise DataError(f"{show(path)} has mode {image.mode}, but 8-bit grey or RGB images are needed: convert it first")


def _kind(image: Array) -> str:
    colour = "RGB" if image.ndim == 3 else "grey" if image.dtype == np.uint8 else "black and white"
    return f"{image.shape[1]} × {image.shape[0]} {colour}"
