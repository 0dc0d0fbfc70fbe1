"""`python -m soaks`: see `command.py`."""

from __future__ import annotations

import sys
from pathlib import Path

# The folder is not a package (no root folder is); its modules are found next to this file.
sys.path.insert(0, str(Path(__file__).parent))

from command import main

if __name__ == "__main__":
    sys.exit(main())
