"""Embedded ICC profiles: profiles made here, whose colours are known in closed form."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.ingest import decode
from tests.stills import save, scene

WHITE = (0.9642, 1.0, 0.8249)  # D50, the white of every profile
SRGB = {"r": (0.4361, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7142)}  # XYZ at D50


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)


def text(value: str) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(value) + 1) + value.encode() + b"\0" * 79


def profile(space: bytes, pcs: bytes, kind: bytes, tags: dict[bytes, bytes], name: str = "made") -> bytes:
    """A version 2 ICC profile."""
    tags = {b"desc": text(name), b"wtpt": xyz(*WHITE)} | tags
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s", start + len(body), b"", 0x02400000, kind, space, pcs, b"", b"acsp")
    head += struct.pack(">4s4x4s4s8xI12s", b"", b"", b"", 1, fixed(*WHITE))
    return head.ljust(128, b"\0") + table + body


def matrix_profile(primaries: str = "rgb", gamma: float = 2.2, name: str = "made", tone: bytes = b"") -> bytes:
    """RGB with sRGB's primaries in the given order: of "grb" the first band is green."""
    tags = {f"{band}XYZ".encode(): xyz(*SRGB[primary]) for band, primary in zip("rgb", primaries, strict=True)}
    curves = {f"{band}TRC".encode(): tone or curve(gamma) for band in "rgb"}
    return profile(b"RGB ", b"XYZ ", b"mntr", tags | curves, name)


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": curve(gamma)})


def ink_profile() -> bytes:
    """CMYK whose first ink is red: by L*, a*, b* at the corners of the four inks' cube, linear between them."""

    def corner(inks: int) -> bytes:
        if inks & 0b0111:  # any ink but the first
            return bytes((0, 128, 128))
        return bytes((139, 209, 198)) if inks else bytes((255, 128, 128))

    ramp = bytes(range(256))
    head = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = head + 4 * ramp + b"".join(corner(inks) for inks in range(16)) + 3 * ramp
    tables = {f"A2B{intent}".encode(): table for intent in range(3)}
    return profile(b"CMYK", b"Lab ", b"prtr", tables | {b"wtpt": xyz(0.8, 0.8, 0.5)})  # on yellowish paper


def encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light, 0 to 1, as sRGB's 0 to 255."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def read(path: Path) -> np.ndarray:
    return np.asarray(decode.to_rgb(decode.load(io.BytesIO(path.read_bytes()), 10**6))).astype(int)


FORMATS = ["png", "jpg", "tif", "webp"]


def exact(suffix: str) -> dict[str, object]:
    return {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_matrix_profile_says_which_colour_each_band_is(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", scene(), icc_profile=matrix_profile("grb"), **exact(suffix))
    swapped = encoded((scene()[..., [1, 0, 2]] / 255.0) ** 2.2)
    assert np.abs(read(path) - swapped).mean() < 1.5
    assert np.abs(read(path) - scene()).mean() > 20


def test_a_gamma_is_undone(tmp_path: Path) -> None:
    ramp = np.dstack([np.tile(np.arange(256, dtype=np.uint8), (4, 1))] * 3)
    found = read(save(tmp_path / "a.png", ramp, icc_profile=matrix_profile(gamma=1.0)))
    assert np.abs(found - encoded(ramp / 255.0)).max() <= 2


def test_the_darkest_colour_that_a_profile_knows_is_black(tmp_path: Path) -> None:
    hazy = b"curv\0\0\0\0" + struct.pack(">IHH", 2, 6554, 65535)  # linear, from a tenth of white
    ramp = np.dstack([np.tile(np.arange(256, dtype=np.uint8), (4, 1))] * 3)
    found = read(save(tmp_path / "a.png", ramp, icc_profile=matrix_profile(tone=hazy)))
    assert np.abs(found - encoded(ramp / 255.0)).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_goes_through_a_grey_profile(tmp_path: Path, suffix: str) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    found = read(save(tmp_path / f"a.{suffix}", ramp, icc_profile=grey_profile(1.5)))
    assert np.abs(found - encoded((ramp[..., None] / 255.0) ** 1.5)).max() <= 2


def test_sixteen_bits_of_grey_go_through_their_profile(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (4, 1))
    found = read(save(tmp_path / "a.png", Image.fromarray(ramp), icc_profile=grey_profile(1.5)))
    assert np.abs(found - encoded((np.arange(256)[None, :, None] / 255.0) ** 1.5)).max() <= 2


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_inks_are_what_their_profile_says(tmp_path: Path, suffix: str) -> None:
    inks = np.zeros((32, 48, 4), np.uint8)
    inks[:, 16:32, 0] = 255  # cyan by the plain conversion
    inks[:, 32:, 3] = 255
    picture = Image.frombytes("CMYK", (48, 32), inks.tobytes())
    found = read(save(tmp_path / f"a.{suffix}", picture, icc_profile=ink_profile(), **exact(suffix)))
    wanted = [(255, 255, 255), (255, 0, 0), (0, 0, 0)]
    for place, colour in zip((8, 24, 40), wanted, strict=True):
        assert np.abs(found[16, place] - colour).max() <= 12
    plain = read(save(tmp_path / f"b.{suffix}", picture, **exact(suffix)))
    assert np.abs(plain[16, 24] - (0, 255, 255)).max() <= 2


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_colours_are_converted_before_they_are_composited(tmp_path: Path, suffix: str) -> None:
    rgba = np.dstack([scene(), np.full((80, 120), 255, np.uint8)])
    rgba[:40, :, 3], rgba[40:60, :, 3] = 0, 128
    found = read(save(tmp_path / f"a.{suffix}", rgba, icc_profile=matrix_profile("grb"), **exact(suffix)))
    swapped = encoded((scene()[..., [1, 0, 2]] / 255.0) ** 2.2)
    assert not found[:40].any()
    assert np.abs(found[40:60] - swapped[40:60] * 128 / 255).mean() < 1.5
    assert np.abs(found[60:] - swapped[60:]).mean() < 1.5


def test_grey_with_alpha_and_a_palette_have_profiles_too(tmp_path: Path) -> None:
    grey = Image.merge("LA", [Image.fromarray(np.full((4, 4), 100, np.uint8)), Image.new("L", (4, 4), 255)])
    found = read(save(tmp_path / "a.png", grey, icc_profile=grey_profile(1.0)))
    assert np.abs(found - encoded(np.array(100 / 255))).max() <= 2
    palette = Image.fromarray(np.full((4, 4, 3), (200, 50, 50), np.uint8)).quantize(4)
    found = read(save(tmp_path / "b.png", palette, icc_profile=matrix_profile("grb", gamma=1.0)))
    assert np.abs(found - encoded(np.array((50, 200, 50)) / 255)).max() <= 2


@pytest.mark.parametrize("name", ["sRGB", "made"])
def test_a_profile_that_is_srgb_changes_nothing_whatever_its_name(tmp_path: Path, name: str) -> None:
    steps = np.arange(16) / 15  # coarse, so that lcms rounds some colours otherwise
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    table = struct.pack(">I16H", 16, *(linear * 65535).round().astype(int))
    icc = matrix_profile(name=name, tone=b"curv\0\0\0\0" + table)
    assert np.array_equal(read(save(tmp_path / "a.png", scene(), icc_profile=icc)), scene())


def test_a_profile_that_is_called_srgb_and_is_not_is_applied(tmp_path: Path) -> None:
    icc = matrix_profile(gamma=1.0, name="Linear sRGB")
    found = read(save(tmp_path / "a.png", scene(), icc_profile=icc))
    assert np.abs(found - encoded(scene() / 255.0)).max() <= 2


@pytest.mark.parametrize(
    "icc",
    [b"none", matrix_profile()[:200], matrix_profile().replace(b"rXYZ", b"none"), grey_profile(1.0), ink_profile()],
    ids=["no profile", "cut short", "without red", "for grey", "for inks"],
)
def test_a_profile_that_is_broken_or_for_other_colours_changes_nothing(tmp_path: Path, icc: bytes) -> None:
    assert np.array_equal(read(save(tmp_path / "a.png", scene(), icc_profile=icc)), scene())


def test_a_transparent_grey_of_sixteen_bits_is_black(tmp_path: Path) -> None:
    grey = np.full((4, 6), 40_000, np.uint16)
    grey[:, :3] = 50_000
    found = read(save(tmp_path / "a.png", Image.fromarray(grey), transparency=50_000))
    assert found[0, :, 0].tolist() == [0, 0, 0, 156, 156, 156]
