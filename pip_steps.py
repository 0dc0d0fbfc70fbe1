"""Runs `pip install` and prints what it is doing in short lines: each download with its size, then the installation, and a sign of life.

python pip_steps.py TITLE [ARGUMENT OF PIP]…
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

_WIDTH = 79
_SILENCE_S = 10.0
_DOWNLOAD = re.compile(r"\s*(Downloading|Using cached) (?:\S*/)?([\w.]+-[\w.]+?)-\S+ \((.+)\)")


def main(title: str, arguments: list[str]) -> int:
    """Install, and return pip's exit code; its whole output is printed where it fails."""
    begun = last = time.monotonic()
    print(f"{title} …", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *arguments]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        done = threading.Event()

        def alive() -> None:
            while not done.wait(1.0):
                nonlocal last
                if time.monotonic() - last > _SILENCE_S:
                    last = time.monotonic()
                    print(f"  … {last - begun:.0f} s", flush=True)

        thread = threading.Thread(target=alive, daemon=True)
        thread.start()
        for line in pip.stdout:
            lines.append(line)
            if short := step(line):
                last = time.monotonic()
                print(short[:_WIDTH], flush=True)
        done.set()
        thread.join()
    if pip.returncode:
        sys.stderr.writelines(lines)
    else:
        print(f"{title}: done in {time.monotonic() - begun:.0f} s", flush=True)
    return pip.returncode


def step(line: str) -> str:
    """Return what a line of pip's output means for a reader; empty for a line that is only detail."""
    if found := _DOWNLOAD.match(line):
        return f"  {'cached' if found[1] == 'Using cached' else 'download'} {found[2]} ({found[3]})"
    if line.startswith("Installing collected packages: "):
        return f"  install {line.count(',') + 1} packages, about half a minute"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
