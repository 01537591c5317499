"""Pickles are programs: they are told by their first bytes and refused with advice, never opened."""

from __future__ import annotations

import pickletools
from pathlib import Path

from latentia.errors import StorageError
from latentia.storage.text import show

__all__ = ["refuse_pickle"]

_SUFFIXES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".ckpt"}
_WEIGHTS = {".pt", ".pth", ".ckpt"}
_HEAD = 1 << 16


def refuse_pickle(path: str | Path) -> None:
    """Refuse a file that is a pickle or holds one (``.pkl``, ``.pt``, ``.ckpt``, ``.joblib``, whatever its name).

    Opening a pickle runs the code inside it. There is no argument that allows it.

    Raises
    ------
    StorageError
        If the name or the first bytes say that it is a pickle; it says how to convert the file.
    """
    path = Path(path)
    if path.is_file() and (_SUFFIXES & _suffixes(path) or _holds_pickle(path)):
        raise StorageError(_advice(path))


def _advice(path: Path) -> str:
    if _WEIGHTS & _suffixes(path):
        how = "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
    else:
        how = "numpy.save('data.npy', array) or table.to_parquet('data.parquet')"
    return (
        f"{show(path)} is a pickle, which runs code when it is opened and is therefore never read: "
        f"convert it in the program that wrote it, with {how}"
    )


def _suffixes(path: Path) -> set[str]:
    return {suffix.lower() for suffix in path.suffixes[-2:]}  # the last but one of data.pkl.gz


def _holds_pickle(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise StorageError(f"{show(path)} cannot be read: {error.strerror}") from error
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    if head[:4] == b"PK\x03\x04":
        return _zip_holds_pickle(head)
    return len(head) < _HEAD and _is_old_pickle(head)


def _zip_holds_pickle(head: bytes) -> bool:
    # PyTorch writes data.pkl as the first member: its name stands in the first local header.
    length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + length].lower().endswith((b".pkl", b".pickle"))


def _is_old_pickle(data: bytes) -> bool:
    """Tell a pickle of protocol 0 or 1, which has no mark of its own: it parses to its very last byte."""
    if not data.endswith(b"."):
        return False
    try:
        for operation, _, position in pickletools.genops(data):
            if operation.name == "STOP":
                return position == len(data) - 1
    except Exception:  # noqa: BLE001 - the parser of the standard library raises many kinds on what is no pickle
        return False
    return False
