"""The embedded world in pictures: `draw(shot, height)` is one frame, antialiased and deterministic.

Three systems of coordinates, all with y downwards:
- *frame*: frame heights, (0, 0) at the middle of the square's upper edge; a wide frame shows more of the
  same plane on both sides;
- *place*: as the frame, before the lens enlarges and moves the backdrop; the ground begins at about y = 0.6;
- *body*: the standing figure, crown at (0, 0), soles at y = 1, chin at y = 0.19; a prop is on the +x side.

Colours are 0xRRGGBB by day; a `Tone` turns them into those of the film's grade and of the night.

Imports point one way: colour, pen, then scenery, the places, props, head, figure and camera, and last the frame.
"""

from demo.draw.colour import GARMENT_INKS, HAIR_INKS, Tone, graded
from demo.draw.frame import Drawn, draw, people_boxes
from demo.draw.places import PLACE_PAINTERS
from demo.draw.props import PROPS_BEFORE, PROPS_BEHIND

__all__ = [
    "GARMENT_INKS",
    "HAIR_INKS",
    "PLACE_PAINTERS",
    "PROPS_BEFORE",
    "PROPS_BEHIND",
    "Drawn",
    "Tone",
    "draw",
    "graded",
    "people_boxes",
]
