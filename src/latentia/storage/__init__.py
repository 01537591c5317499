"""Files and folders: written so that nothing is lost, read so that nothing is believed.

No torch, no pickle. Start reading at ``atomic.py`` (how state is written) and ``manifest.py`` (how it is verified).
"""

from latentia.storage.arrays import read_idx, read_npy, read_npz
from latentia.storage.atomic import Content, check_writable, write_files, write_folder
from latentia.storage.folders import latest_folder, prune
from latentia.storage.inflate import default_cap, read_inflated
from latentia.storage.locks import RunLock
from latentia.storage.manifest import (
    MANIFEST,
    FileEntry,
    Manifest,
    VerifiedFolder,
    has_manifest,
    open_folder,
    verify_folder,
)
from latentia.storage.pickles import refuse_pickle
from latentia.storage.text import parse_json, read_json, show

__all__ = [
    "MANIFEST",
    "Content",
    "FileEntry",
    "Manifest",
    "RunLock",
    "VerifiedFolder",
    "check_writable",
    "default_cap",
    "has_manifest",
    "latest_folder",
    "open_folder",
    "parse_json",
    "prune",
    "read_idx",
    "read_inflated",
    "read_json",
    "read_npy",
    "read_npz",
    "refuse_pickle",
    "show",
    "verify_folder",
    "write_files",
    "write_folder",
]
