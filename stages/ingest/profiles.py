"""Embedded ICC profiles: a file's colours to sRGB by lcms, relative colorimetric with black point compensation."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms
from PIL.ImageCms import Flags, ImageCmsProfile, ImageCmsTransform, Intent

LEVELS = 9  # a band, of the colours by which a profile is known to change none
SAME = 2  # of 255


def srgb() -> ImageCmsProfile:
    return ImageCmsProfile(ImageCms.createProfile("sRGB"))


def every_colour(mode: str) -> Image.Image:
    """All mixtures of LEVELS levels of a mode's bands."""
    levels = np.linspace(0, 255, LEVELS).round().astype(np.uint8)
    mixed = np.stack(np.meshgrid(*[levels] * len(Image.new(mode, (1, 1)).getbands())), axis=-1)
    return Image.frombytes(mode, (LEVELS, mixed.size // LEVELS // mixed.shape[-1]), mixed.tobytes())


def changes(transform: ImageCmsTransform, mode: str) -> bool:
    """Whether any colour comes out otherwise than by the plain conversion; a profile that is sRGB changes none."""
    colours = every_colour(mode)
    through, plain = (np.asarray(picture, np.int16) for picture in (transform.apply(colours), colours.convert("RGB")))
    return bool(np.abs(through - plain).max() > SAME)


@lru_cache(maxsize=4)
def find_transform(icc: bytes, mode: str) -> ImageCmsTransform | None:
    """From pixels of a mode to sRGB; None where the profile changes nothing, is broken, or is for another mode.

    A collection has few profiles, so each is read once.
    """
    intent, flags = Intent.RELATIVE_COLORIMETRIC, Flags.BLACKPOINTCOMPENSATION
    try:
        found = ImageCms.buildTransform(ImageCmsProfile(io.BytesIO(icc)), srgb(), mode, "RGB", intent, flags)
        return found if changes(found, mode) else None
    except Exception:  # lcms refuses what does not fit, and stumbles over what is broken
        return None


def to_srgb(picture: Image.Image, icc: object) -> Image.Image:
    """An L, RGB or CMYK picture in RGB: through its profile, or by Pillow's plain conversion where none serves."""
    found = find_transform(icc, picture.mode) if isinstance(icc, bytes) else None
    return found.apply(picture) if found else picture.convert("RGB")


def lab_to_srgb(picture: Image.Image) -> Image.Image:
    """A LAB picture (D50) in RGB."""
    lab = ImageCmsProfile(ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(picture, lab, srgb(), outputMode="RGB")
    assert converted is not None
    return converted
