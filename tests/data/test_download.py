"""Downloads from a server on this machine: right, wrong, absent and slow ones."""

from __future__ import annotations

import gzip
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest

from latentia import data
from latentia.data import registry
from latentia.data.locate import RemoteFile, cache_folder, find_files, whereabouts
from latentia.data.splits import Part
from latentia.errors import DataError
from latentia.storage import read_idx

CONTENT = gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 20, 2, 2) + bytes(range(80)), mtime=0)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
NAME = "images-idx3-ubyte.gz"


class Handler(SimpleHTTPRequestHandler):
    """Serve files, and remember what was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


class Server:
    """A folder on the web."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        handler = type("Logging", (Handler,), {"asked": self.asked})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/mnist"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("LATENTIA_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "web" / "mnist").mkdir(parents=True)
    (tmp_path / "web" / "mnist" / NAME).write_bytes(CONTENT)
    running = Server(tmp_path / "web")
    yield running
    running.close()


def _closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _kept() -> list[str]:
    return [path.name for path in cache_folder().rglob("*") if path.is_file()]


@pytest.mark.parametrize("checksum", [SHA256, MD5])
def test_file_is_downloaded_once(server: Server, checksum: str) -> None:
    files = (RemoteFile(NAME, checksum, (server.url,)),)
    assert whereabouts("toy", files) == (False, "downloaded at first use from 127.0.0.1")
    for _ in range(2):
        paths = find_files("toy", files)
        assert paths == {NAME: cache_folder() / "toy" / NAME}
        assert paths[NAME].read_bytes() == CONTENT
    assert server.asked == [f"/mnist/{NAME}"]
    assert whereabouts("toy", files) == (True, str(cache_folder() / "toy"))


def test_own_folder_comes_first(server: Server, tmp_path: Path) -> None:
    (tmp_path / "mine" / "toy").mkdir(parents=True)
    (tmp_path / "mine" / "toy" / NAME).write_bytes(CONTENT)
    files = (RemoteFile(NAME, SHA256, (server.url,)),)
    assert find_files("toy", files)[NAME] == tmp_path / "mine" / "toy" / NAME
    assert server.asked == []


def test_wrong_checksum_keeps_nothing(server: Server) -> None:
    files = (RemoteFile(NAME, "sha256:" + "0" * 64, (server.url,)),)
    expected = (
        rf"{NAME} of toy could not be downloaded: 127\.0\.0\.1:\d+ sent a file with the wrong checksum; try again"
    )
    with pytest.raises(DataError, match=expected):
        find_files("toy", files)
    assert _kept() == []


def test_second_address_is_tried(server: Server) -> None:
    files = (RemoteFile(NAME, SHA256, (_closed_port(), server.url + "/missing", server.url)),)
    assert find_files("toy", files)[NAME].read_bytes() == CONTENT


def test_server_that_is_down(server: Server, tmp_path: Path) -> None:
    files = (RemoteFile(NAME, SHA256, (_closed_port(),)),)
    with pytest.raises(DataError) as caught:
        find_files("toy", files)
    text = str(caught.value)
    assert "failed (ConnectionError)" in text
    assert text.endswith(f"try again later or put {NAME} into {tmp_path}/mine/toy/")
    assert "\n" not in text
    assert _kept() == []


def test_file_that_is_not_on_the_server(server: Server) -> None:
    with pytest.raises(DataError, match=r"failed \(HTTPError\)"):
        find_files("toy", (RemoteFile("other.gz", SHA256, (server.url,)),))
    assert _kept() == []


def test_damaged_file_in_the_cache_is_fetched_again(server: Server) -> None:
    files = (RemoteFile(NAME, SHA256, (server.url,)),)
    path = cache_folder() / "toy" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="toy is not here"):
        find_files("toy", files, download=False)
    assert find_files("toy", files)[NAME].read_bytes() == CONTENT


def test_without_checksum_nothing_is_downloaded(server: Server) -> None:
    with pytest.raises(DataError, match="toy is not here: put"):
        find_files("toy", (RemoteFile(NAME, "", (server.url,)),))
    assert server.asked == []


def test_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    with pytest.raises(DataError, match=f"{NAME} cannot be stored in .*: (Not a directory|File exists)"):
        find_files("toy", (RemoteFile(NAME, SHA256, (server.url,)),))


def test_pooch_is_silent_and_left_as_it_was(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    logger = pooch.get_logger()
    before = logger.level
    find_files("toy", (RemoteFile(NAME, SHA256, (server.url,)),))
    assert capfd.readouterr() == ("", "")
    assert logger.level == before


def test_load_downloads(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
        x = read_idx(paths[NAME])
        return {"train": (x[:10], None), "valid": (x[10:15], None), "test": (x[15:], None)}

    info = data.Info("toy", (2, 2), data.Support("levels", 256))
    source = data.Source(info, (10, 5, 5), (RemoteFile(NAME, SHA256, (server.url,)),), read)
    monkeypatch.setitem(registry._SOURCES, "toy", source)
    with pytest.raises(DataError, match="toy is not here"):
        data.load("toy", download=False)
    dataset = data.load("toy")
    np.testing.assert_array_equal(dataset.test.x.ravel(), np.arange(60, 80))
    assert len(server.asked) == 1
    wrong = data.Source(info, (11, 5, 5), source.files, read)
    monkeypatch.setitem(registry._SOURCES, "toy", wrong)
    with pytest.raises(
        DataError, match="the files of toy hold 15 rows for training and 5 for testing, but 16 and 5 rows"
    ):
        data.load("toy")


def test_addresses_and_checksums_of_the_real_sets() -> None:
    """What can be downloaded has a checksum of the right length and an address without a slash too many."""
    for name in ("mnist", "fashion_mnist"):
        source = registry.find(name)
        assert source is not None
        assert len({file.checksum for file in source.files}) == len(source.files) == 4
        for file in source.files:
            algorithm, _, digest = file.checksum.partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[algorithm]
            assert len(file.urls) == 2
            assert all(url.startswith("http") and not url.endswith("/") for url in file.urls)
