"""Every soak by its name."""

from __future__ import annotations

from trials import Soak

SOAKS: dict[str, Soak] = {}
