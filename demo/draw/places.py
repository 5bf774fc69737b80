"""Every place by its name in the world."""

from collections.abc import Callable

from demo.draw.indoors import kitchen, library, living_room, theatre, train
from demo.draw.outdoors import alley, beach, desert, field, forest, garden, harbour, mountains, street
from demo.draw.pen import Pen

INDOORS = frozenset({"kitchen", "library", "train", "living room", "theatre"})
PLACE_PAINTERS: dict[str, Callable[[Pen], None]] = {
    "beach": beach,
    "forest": forest,
    "desert": desert,
    "mountains": mountains,
    "street": street,
    "kitchen": kitchen,
    "library": library,
    "train": train,
    "harbour": harbour,
    "field": field,
    "alley": alley,
    "living room": living_room,
    "garden": garden,
    "theatre": theatre,
}
