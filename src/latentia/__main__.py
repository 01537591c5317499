"""``python -m latentia`` is the same as the command ``latentia``."""

from __future__ import annotations

import sys

from latentia.cli import main

if __name__ == "__main__":
    sys.exit(main())
