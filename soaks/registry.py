"""Every soak by its name."""

from __future__ import annotations

from flips import Flips
from fsync_crashes import FsyncOrder
from fuzz import Fuzz
from injections import Injections
from kills import Kills
from label_kills import LabelKills
from postgres_kills import PostgresKills
from producers import ManyProducers
from shuffles import Shuffles
from trials import Soak

_ALL: tuple[Soak, ...] = (Flips(), Fuzz(), Shuffles(), PostgresKills(), ManyProducers(), Kills(), Injections(), FsyncOrder(), LabelKills())

SOAKS: dict[str, Soak] = {soak.name: soak for soak in _ALL}
