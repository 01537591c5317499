"""Where the files of a data set are: ``$LATENTIA_DATA/<name>/``, then the cache, then a download that is checked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from latentia.errors import DataError
from latentia.storage import show

__all__ = ["RemoteFile", "cache_folder", "find_files", "whereabouts"]

VARIABLE = "LATENTIA_DATA"
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Parameters
    ----------
    name
        Its original name.
    checksum
        The published checksum, "md5:…" or "sha256:…", or "" if none was published.
    urls
        Folders on the web that hold it, tried in this order; none if it cannot be downloaded.
    """

    name: str
    checksum: str = ""
    urls: tuple[str, ...] = ()


def find_files(
    dataset: str, files: tuple[RemoteFile, ...], contents: str = "", *, download: bool = True
) -> dict[str, Path]:
    """Return where each file of a data set is, downloading what is missing if that is possible and allowed.

    Raises
    ------
    DataError
        If a file is missing and cannot be downloaded, or is not the published one; it says which file goes where.
    """
    found = {file.name: _find(dataset, file) for file in files}
    missing = [file for file in files if found[file.name] is None]
    if missing and not (download and all(file.urls and file.checksum for file in missing)):
        raise DataError(_missing(dataset, files, contents))
    for file in missing:
        found[file.name] = _download(dataset, file, files)
    return {name: path for name, path in found.items() if path is not None}


def whereabouts(dataset: str, files: tuple[RemoteFile, ...], contents: str = "") -> tuple[bool, str]:
    """Return whether all files of a data set are here, and where they are, come from, or go."""
    if not files:
        return True, "comes with scikit-learn"
    folders = [folder for folder in (_own_folder(dataset), cache_folder() / dataset) if folder is not None]
    found = [path for file in files for folder in folders if (path := folder / file.name).is_file()]
    if {path.name for path in found} >= {file.name for file in files}:
        return True, show(found[0].parent)
    if all(file.urls and file.checksum for file in files):
        return False, f"downloaded at first use from {urlsplit(files[0].urls[0]).hostname}"
    return False, _advice(dataset, files, contents)


def cache_folder() -> Path:
    """Return the folder that downloads are kept in."""
    import pooch

    return Path(pooch.os_cache("latentia"))


def _own_folder(dataset: str) -> Path | None:
    own = os.environ.get(VARIABLE)
    return Path(own).expanduser() / dataset if own else None


def _find(dataset: str, file: RemoteFile) -> Path | None:
    folder = _own_folder(dataset)
    if folder is not None and (path := folder / file.name).is_file():
        if not _matches(path, file.checksum):
            raise DataError(
                f"{show(path)} is not the published file (its {file.checksum.partition(':')[0]} differs): "
                f"it is damaged or belongs to another data set; replace it or remove it from ${VARIABLE}/{dataset}/"
            )
        return path
    path = cache_folder() / dataset / file.name  # a damaged file in our own cache is fetched again
    return path if path.is_file() and _matches(path, file.checksum) else None


def _matches(path: Path, checksum: str) -> bool:
    algorithm, _, expected = checksum.partition(":")
    if not expected:
        return True
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == expected


def _download(dataset: str, file: RemoteFile, files: tuple[RemoteFile, ...]) -> Path:
    import pooch
    from requests import RequestException

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # what happens is told by errors and by the command line, not by pooch
    problems = []
    try:
        for url in file.urls:
            try:
                downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS)
                source = f"{url.rstrip('/')}/{file.name}"
                folder = cache_folder() / dataset
                return Path(pooch.retrieve(source, file.checksum, file.name, folder, downloader=downloader))
            except RequestException as error:
                problems.append(f"{show(urlsplit(url).netloc)} failed ({type(error).__name__})")
            except ValueError:  # this is how pooch tells it; it has removed the file
                problems.append(f"{show(urlsplit(url).netloc)} sent a file with the wrong checksum")
            except OSError as error:
                raise DataError(f"{file.name} cannot be stored in {show(folder)}: {error.strerror or error}") from error
    finally:
        logger.setLevel(level)
    raise DataError(
        f"{file.name} of {dataset} could not be downloaded: {', '.join(problems)}; try again later or "
        f"{_advice(dataset, files, '')}"
    )


def _missing(dataset: str, files: tuple[RemoteFile, ...], contents: str) -> str:
    return f"the data set {dataset} is not here: {_advice(dataset, files, contents)}"


def _advice(dataset: str, files: tuple[RemoteFile, ...], contents: str) -> str:
    what = ", ".join(file.name for file in files)
    folder = _own_folder(dataset)
    start = "put" if folder else f"set {VARIABLE} to a folder of yours and put"
    return f"{start} {what} into {show(folder or f'${VARIABLE}/{dataset}')}/{f' ({contents})' if contents else ''}"
