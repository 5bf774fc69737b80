"""Embedded ICC profiles: a file's colours to sRGB by lcms, relative colorimetric with black point compensation."""

import io
from functools import lru_cache

from PIL import Image, ImageCms
from PIL.ImageCms import Flags, ImageCmsProfile, ImageCmsTransform, Intent


def srgb() -> ImageCmsProfile:
    return ImageCmsProfile(ImageCms.createProfile("sRGB"))


def is_srgb(profile: ImageCmsProfile) -> bool:
    """Whether the profile says of itself that it is sRGB."""
    return (profile.profile.profile_description or "").strip().casefold().startswith("srgb")


@lru_cache(maxsize=4)
def transform(icc: bytes, mode: str) -> ImageCmsTransform | None:
    """From pixels of a mode to sRGB; None for sRGB itself, a broken profile, and one of other colours than the mode's.

    A collection has few profiles, so each is read once.
    """
    try:
        profile = ImageCmsProfile(io.BytesIO(icc))
        if is_srgb(profile):
            return None
        intent, flags = Intent.RELATIVE_COLORIMETRIC, Flags.BLACKPOINTCOMPENSATION
        return ImageCms.buildTransform(profile, srgb(), mode, "RGB", intent, flags)
    except Exception:  # lcms refuses what does not fit, and stumbles over what is broken
        return None


def to_srgb(picture: Image.Image, icc: object) -> Image.Image:
    """An L, RGB or CMYK picture in RGB: through its profile, or by Pillow's plain conversion where none serves."""
    found = transform(icc, picture.mode) if isinstance(icc, bytes) else None
    return found.apply(picture) if found else picture.convert("RGB")


def lab_to_srgb(picture: Image.Image) -> Image.Image:
    """A LAB picture (D50) in RGB."""
    lab = ImageCmsProfile(ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(picture, lab, srgb(), outputMode="RGB")
    assert converted is not None
    return converted
