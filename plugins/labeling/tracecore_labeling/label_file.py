"""What every label file comes down to, whatever its format: images, and the labels of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracecore_labeling.linking import LabeledImage
from tracecore_labeling.provenance import NOTHING_KNOWN, Provenance

__all__ = ["FoundLabel", "LabelFile", "LeftOut"]


@dataclass(frozen=True, slots=True)
class FoundLabel:
    """One label of a file; which fields are there depends on its geometry.

    Attributes:
        id: the file's own id of it, or what names it in the file for ever.
        geometry: box2d, cuboid, path or tag.
        category: class name; of a tag what it speaks of.
        box: x, y, width, height, px.
        area: of the object, px^2, where the file says it.
        polygon: rings of x and y by turns, px; the box of such a label is around them where the file gives none.
        crowd: whether a box stands for many objects, or for a region that nobody labeled.
        ignore: whether it is neither an error to find nor to miss.
        score: confidence, 0 to 1, of a label that a model proposed.
        cuboid: ten numbers as in OpenLABEL, m.
        cuboid_frame: in which frame the cuboid is; that of the camera it is linked to where None.
        path: x ahead, y to the left by turns, m.
        value: what a tag says.
        track: the object's, where the file has tracks.
        provenance: who, when, with what.
        attributes: whatever else the file says of it.
        task: in which it was made, where said.
        reviewer: pseudonym, where said.
        reviewed_at: where said.
        tier: working or gold, where the file records it.
        proposed_by: ref of the model that proposed it, where said.
    """

    id: str
    geometry: str = "box2d"
    category: str | None = None
    box: tuple[float, float, float, float] | None = None
    area: float | None = None
    polygon: tuple[tuple[float, ...], ...] | None = None
    crowd: bool = False
    ignore: bool = False
    score: float | None = None
    cuboid: tuple[float, ...] | None = None
    cuboid_frame: str | None = None
    path: tuple[float, ...] | None = None
    value: str | None = None
    track: str | None = None
    provenance: Provenance = NOTHING_KNOWN
    attributes: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    reviewer: str | None = None
    reviewed_at: str | None = None
    tier: str | None = None
    proposed_by: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Labels of a file that are not taken over; an image that has any is never stated to hold no object.

    Attributes:
        what: what they are, in the plural, with the reason where the noun does not say it ("boxes without area").
        image: id of the image they are of; None where they are of none.
        count: how many.
    """

    what: str
    image: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class LabelFile:
    """One label file, read.

    Attributes:
        name: the file's name.
        digest: its bytes' digest, which with a label's id makes its id for ever.
        images: what it labels.
        labels: of each image that has any, by image id.
        clipped: boxes that were cut at the edge of their image.
        left_out: labels that are not taken over. What a file holds is what is taken and what is left out.
        unknowns: (what, why) of whatever else its labels do not say.
        unstated: ids of images of which it does not state that they hold no object, whatever it lists of them.
    """

    name: str
    digest: str
    images: Sequence[LabeledImage]
    labels: Mapping[str, Sequence[FoundLabel]]
    clipped: int = 0
    left_out: Sequence[LeftOut] = ()
    unknowns: Sequence[tuple[str, str]] = ()
    unstated: frozenset[str] = frozenset()

    @property
    def found(self) -> int:
        """Count the labels that the file holds, taken or not."""
        return sum(map(len, self.labels.values())) + sum(each.count for each in self.left_out)

    @property
    def names_left_out(self) -> int:
        """Count labels of which the file gives a name where a pseudonym is expected."""
        return sum(label.provenance.name_left_out for labels in self.labels.values() for label in labels)
