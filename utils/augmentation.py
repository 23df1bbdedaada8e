"""pytorch-segmentation's augmentation flags, as a list of transforms."""

from __future__ import annotations


def augmentation(
    augment: bool = False,
    base_size: int | None = None,
    crop_size: int | tuple[int, int] | None = None,
    scale: bool | tuple[float, float] = True,
    flip: bool = False,
    rotate: bool | float = False,
    blur: bool = False,
    rare_class_crops: bool | float = False,
) -> list[dict]:
    """Sections of TRANSFORMS for the flags of a training loader.

    Args:
        augment: Augment at all; without it the flags below change nothing but the size: the crop is
            then taken from the middle.
        base_size: Long side of the image before random scaling, in pixels; its own without it.
        crop_size: Side of the square crop in pixels, or (height, width). Smaller images are padded,
            and the padding is ignored.
        scale: Scale by a random factor, 0.5 to 2 or (low, high).
        flip: Mirror left to right half of the time.
        rotate: Rotate by a random angle, up to 10 degrees or the number given, either way.
        blur: Gaussian blur of a random sigma of 0 to 1 pixel.
        rare_class_crops: Draw a crop again, up to ten times, where one class fills more than 0.75
            of its labelled pixels, or more than the share given.
    """
    bounds = (0.5, 2.0) if scale is True else scale or (1.0, 1.0)
    degrees = 10.0 if rotate is True else float(rotate)
    warp = {"base_size": base_size, "crop_size": crop_size, "center": not augment}
    if augment:
        warp |= {"scale": list(bounds), "rotate": degrees, "flip": flip}
        warp["rare_class_crops"] = rare_class_crops
    sections = [{"type": "Warp", "args": warp}]
    if augment and blur:
        sections.append({"type": "Blur", "args": {}})
    sized = base_size is not None or crop_size is not None
    return sections if augment or sized else []
