"""An image is measured without being changed."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tracecore_ingest.camera_images import difference_hash, encoding_of, measure_image
from tracecore_ingest.errors import Damaged

Picture = Callable[..., bytes]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_size_and_luma_are_those_of_the_picture(picture: Picture, format_: str) -> None:
    for level in (0, 51, 255):
        facts = measure_image(picture(format_=format_, level=level, size=(50, 31)), format_.lower())
        assert (facts.width, facts.height) == (50, 31)
        assert facts.luma == pytest.approx(level / 255, abs=0.005)


def test_a_large_jpeg_is_measured_as_a_small_one_is(picture: Picture) -> None:
    """Decoding at a fraction of the size changes neither luma nor more than a few bits of the hash."""
    data = picture(1, size=(1280, 720))
    with Image.open(BytesIO(data)) as image:
        whole = np.asarray(image.convert("L"))
    facts = measure_image(data, "jpeg")
    assert (facts.width, facts.height) == (1280, 720)
    assert facts.luma == pytest.approx(float(whole.mean()) / 255, abs=0.004)
    assert (facts.dhash ^ difference_hash(whole)).bit_count() <= 3


def test_the_difference_hash_is_that_of_its_definition() -> None:
    """Nine columns that fall and rise in turn give alternating bits; a picture that grows brighter gives none."""
    stripes = np.tile(np.asarray([200, 100] * 4 + [200], dtype=np.uint8), (8, 1))
    assert difference_hash(stripes) == 0xAAAAAAAAAAAAAAAA
    assert difference_hash(np.kron(stripes, np.ones((10, 10), dtype=np.uint8))) == 0xAAAAAAAAAAAAAAAA
    assert difference_hash(np.tile(np.arange(90, dtype=np.uint8), (80, 1))) == 0
    assert difference_hash(np.full((1, 1), 7, dtype=np.uint8)) == 0


def test_near_duplicates_have_near_hashes_and_other_pictures_have_not() -> None:
    rng = np.random.default_rng(3)
    scene = np.kron(rng.integers(0, 255, (16, 16)), np.ones((12, 20)))
    again = np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255)
    other = np.kron(rng.integers(0, 255, (16, 16)), np.ones((12, 20)))

    def hashed(pixels: np.ndarray) -> int:
        return difference_hash(pixels.astype(np.uint8))

    assert (hashed(scene) ^ hashed(again)).bit_count() <= 3
    assert (hashed(scene) ^ hashed(other)).bit_count() > 16


def test_a_picture_of_16_bits_is_not_cut_to_white() -> None:
    stream = BytesIO()
    Image.fromarray(np.full((10, 10), 32768, dtype=np.uint16)).save(stream, "PNG")
    assert measure_image(stream.getvalue(), "png").luma == pytest.approx(0.5, abs=0.01)


def test_bytes_of_another_format_are_refused(picture: Picture) -> None:
    with pytest.raises(Damaged, match="is not a complete JPEG image"):
        measure_image(picture(format_="PNG"), "jpeg")
    with pytest.raises(Damaged, match="is not a complete png image"):
        measure_image(picture(format_="JPEG"), "png")
    whole = picture(format_="PNG")
    with pytest.raises(Damaged, match="is not a complete png image"):
        measure_image(whole[: len(whole) // 2], "png")


def test_formats_have_one_name_each() -> None:
    assert [encoding_of(name) for name in ("jpg", "JPEG", "image/jpeg", "png", "h264")] == ["jpeg", "jpeg", "jpeg", "png", "h264"]
