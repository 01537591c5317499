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
from latentia.storage.runs import (
    CHECKPOINTS,
    METRICS,
    check_replaceable,
    holds_model,
    holds_training,
    remove_run,
    visible,
)
from latentia.storage.text import parse_json, read_json, show

__all__ = [
    "CHECKPOINTS",
    "MANIFEST",
    "METRICS",
    "Content",
    "FileEntry",
    "Manifest",
    "RunLock",
    "VerifiedFolder",
    "check_replaceable",
    "check_writable",
    "default_cap",
    "has_manifest",
    "holds_model",
    "holds_training",
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
    "remove_run",
    "show",
    "verify_folder",
    "visible",
    "write_files",
    "write_folder",
]
