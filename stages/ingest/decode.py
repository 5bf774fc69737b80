"""One file to upright 8-bit RGB pixels without bars, or the reason why not.

How each kind of file becomes RGB, and how many bands it counts for the paper's rule:

| mode | bands | RGB |
| --- | --- | --- |
| RGB | 3 | through its ICC profile; YCbCr and HSV likewise, once they are RGB |
| RGBA, LA, tRNS | 4, 2, as without | through its ICC profile, then composited over black, as a screen would show it |
| CMYK | 4 | through its ICC profile, else Pillow's plain conversion |
| LAB | 3 | by lcms, its white D50 |
| P | of its palette: 3, with alpha 4 | the palette's colours, through the ICC profile |
| 1, L | 1 | grey, through its ICC profile |
| I;16, I | 1 | the upper 8 of 16 bits, as L; RGB of 16 bits a band is cut likewise on reading |
| F and others | - | undecodable: the range is not known |
| animated | as its first frame | the first frame |

An embedded ICC profile is applied (see ``profiles``). One that is sRGB, whatever its name, is broken, or is for another
kind of colours than the file's changes nothing; nor do other hints at colour, such as PNG's gAMA and cHRM.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.Image import Transpose

from stages.ingest.profiles import lab_to_srgb, to_srgb

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "GIF",
    "BMP",
    "JPEG2000",
    "AVIF",
    "PPM",
)  # a JPEG may be an MPO; never EPS or PDF
ORIENTATION = 0x0112
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
BAR_SHARE = 0.45  # of a side, both bars together; scope in a 4:3 frame takes 0.443
DUST = 0.01  # of a bar's pixels, which compression, or dust, has lit
BAR_SKEW = 0.02  # of a side: two bars that differ by more are one pair of equal bars and something dark
CHROMA_SIDE = 256  # pixels; the chroma of a larger picture is measured on a reduced one, which noise colours less


class Undecodable(Exception):
    """Why a file's pixels cannot be had."""


class TooManyPixels(Exception):
    """The number of pixels that a file's header announces."""


def reason(error: Exception) -> str:
    """A decoder's complaint in a few words, without addresses that differ from run to run."""
    text = " ".join(str(error).split()).split(" <", 1)[0]
    return (text or type(error).__name__)[:120]


@cache
def known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing on the process's stderr: libtiff complains there, past Python."""
    terminal, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nothing)


def load(file: BinaryIO, max_pixels: int) -> Image.Image:
    """The file's first picture, decoded to the end; its EXIF may be read from the file later.

    Raises:
        TooManyPixels: by its header; nothing has been decoded then.
        Undecodable: not a picture, cut short or corrupt.
    """
    Image.MAX_IMAGE_PIXELS = None  # asked here, with the study's own limit
    try:
        with hushed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd metadata; the pixels either load or they do not
            picture = Image.open(file, formats=known_formats())
            if picture.width * picture.height > max_pixels:
                raise TooManyPixels(picture.width * picture.height)
            picture.load()
    except (TooManyPixels, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever a broken file makes them stumble over
        raise Undecodable(reason(error)) from None
    return picture


def bands(picture: Image.Image) -> int:
    """The file's own bands; a palette's entries are its bands."""
    if picture.mode in ("P", "PA") and picture.palette is not None:
        return len(picture.palette.mode) + (picture.mode == "PA")
    return len(picture.getbands())


def grey16(picture: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, and alpha where a value is the transparent one."""
    values = np.asarray(picture)
    grey = Image.fromarray((np.clip(values, 0, 65535) >> 8).astype(np.uint8))
    if "transparency" in picture.info:
        seen = (values != picture.info["transparency"]).astype(np.uint8) * 255
        return Image.merge("LA", (grey, Image.fromarray(seen)))
    return grey


def without_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """(the same without transparency, its alpha)."""
    if not picture.has_transparency_data:
        return picture, None
    over = picture.convert("LA" if picture.mode == "La" else "RGBA").convert("RGBA")
    grey = picture.mode in ("1", "L", "LA", "La")
    return over.getchannel("R") if grey else over.convert("RGB"), over.getchannel("A")


def plain(picture: Image.Image) -> Image.Image:
    """A picture without alpha as L, RGB, CMYK or LAB.

    Raises:
        Undecodable: a mode whose range is not known.
    """
    if picture.mode in ("L", "RGB", "CMYK", "LAB"):
        return picture
    if picture.mode in ("1", "P", "RGBX", "YCbCr", "HSV"):
        return picture.convert("L" if picture.mode == "1" else "RGB")
    raise Undecodable(f"mode {picture.mode}")


def to_rgb(picture: Image.Image) -> Image.Image:
    """8-bit sRGB by the table above.

    Raises:
        Undecodable: a mode whose range is not known.
    """
    shown, alpha = without_alpha(grey16(picture) if picture.mode.startswith("I") else picture)
    base = plain(shown)
    rgb = lab_to_srgb(base) if base.mode == "LAB" else to_srgb(base, picture.info.get("icc_profile"))
    return rgb if alpha is None else Image.composite(rgb, Image.new("RGB", rgb.size), alpha)


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the EXIF is corrupt."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # corrupt EXIF says nothing about the pixels
        return 1


def upright(rgb: Image.Image, turn: int) -> Image.Image:
    """Apply an EXIF orientation."""
    return rgb.transpose(TURNS[turn]) if turn in TURNS else rgb


def bar(dark: np.ndarray) -> tuple[int, int]:
    """(first, last): how many lines of a side are bars, given which lines are dark.

    Bars come in pairs of about equal width, BAR_SHARE of the side at most. Where one end is dark further in than the
    other, that is the picture's own night: the narrower bar holds for both ends. Where all is dark there are none.
    """
    lit = np.flatnonzero(~dark)
    if not lit.size:
        return 0, 0
    first, last = int(lit[0]), int(dark.size - 1 - lit[-1])
    if abs(first - last) > max(2, BAR_SKEW * dark.size):
        first = last = min(first, last)
    return (first, last) if first + last <= BAR_SHARE * dark.size else (0, 0)


def without_bars(rgb: Image.Image, level: int) -> Image.Image:
    """Cut letterbox and pillarbox bars: lines at the edges where the luma of at most DUST exceeds ``level``."""
    lit = np.asarray(rgb.convert("L")) > level
    top, bottom = bar(lit.mean(axis=1) <= DUST)
    left, right = bar(lit[top : len(lit) - bottom].mean(axis=0) <= DUST)
    if not (top or bottom or left or right):
        return rgb
    return rgb.crop((left, top, rgb.width - right, rgb.height - bottom))


def chroma(rgb: Image.Image) -> float:
    """Mean CIELAB chroma sqrt(a*^2 + b*^2) (sRGB, D65), 0 for grey, about 134 at most."""
    small = rgb.reduce(max(1, max(rgb.size) // CHROMA_SIDE))
    value = np.arange(256, dtype=np.float32) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ],
        dtype=np.float32,
    )
    xyz = linear[np.asarray(small)] @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T  # relative to white
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116), -1, 0)
    return float(np.hypot(500 * (x - y), 200 * (y - z)).mean())


def dhash(rgb: Image.Image) -> str:
    """Sixteen hex digits: for each of 8 x 8 fields, whether it is darker than the field to its right."""
    small = np.asarray(rgb.convert("L").resize((9, 8), Image.Resampling.BOX))
    return np.packbits(small[:, :-1] < small[:, 1:]).tobytes().hex()
