"""The embedded world in words: films, casts, shots and their captions. Nothing here draws.

Lengths are in *body heights* (the standing figure from its crown to its soles, 1.0) or in *frame heights*;
each docstring says which. Every draw comes from numpy generators keyed by a stable hash of names, so the same
seed gives the same world in every process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")

WHO = ("man", "woman")
GARMENT_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
HAIR_COLOURS = ("black", "brown", "blonde", "red", "grey")
SKINS = ("porcelain", "peach", "tan", "umber", "deep")
GARMENTS = {"man": ("coat", "sweater", "shirt"), "woman": ("coat", "sweater", "dress")}
HAIR_STYLES = {
    "man": ("short", "quiff", "crop", "swept"),
    "woman": ("long", "bob", "bun", "curly", "ponytail"),
}
EXPRESSIONS = ("smile", "calm", "serious", "surprised")

PLACE_PHRASES = {
    "beach": "on a beach",
    "forest": "in a forest",
    "desert": "in a desert",
    "mountains": "in snowy mountains",
    "street": "on a city street",
    "kitchen": "in a kitchen",
    "library": "in a library",
    "train": "on a train",
    "harbour": "in a harbour",
    "field": "in a wheat field",
    "alley": "in a brick alley",
    "living room": "in a living room",
    "garden": "in a garden",
    "theatre": "in a theatre",
}
PROP_PHRASES = {
    "umbrella": "holding an umbrella",
    "balloon": "holding a balloon",
    "lantern": "holding a lantern",
    "flowers": "holding flowers",
    "trumpet": "playing a trumpet",
    "hat": "wearing a straw hat",
    "parrot": "with a parrot on the shoulder",
}
PLACES = tuple(PLACE_PHRASES)
PROPS = tuple(PROP_PHRASES)

ASPECTS = (1.33, 1.85, 2.39)
SHOT_TYPES = ("close", "medium", "long")
# Body heights from the crown to the bottom of the frame; what lies between two ranges is a border case.
CORE_DISTANCES = {"close": (0.24, 0.32), "medium": (0.53, 0.70), "long": (1.05, 1.90)}
CLOSE_MEDIUM = 0.41  # geometric means of the neighbouring ends: the "nearest class" on a scale of ratios
MEDIUM_LONG = 0.86
TYPE_SHARES = (0.30, 0.40, 0.30)
BORDER_SHARE = 0.12
PROP_SHARE = 0.6
COUPLE_SHARE = 0.2
NIGHT_SHARE = 0.35


@dataclass(frozen=True)
class Person:
    """One member of a cast. `build` scales the width of shoulders and hips (1.0 is average)."""

    who: str
    build: float
    skin: str
    hair_colour: str
    hair_style: str
    garment: str
    garment_colour: str
    trousers: int = 0  # index into the neutral trouser colours
    beard: bool = False


@dataclass(frozen=True)
class Grade:
    """A film's light: `tint` multiplies RGB, `contrast` and `saturation` act about grey, `lift` on blacks."""

    name: str
    tint: tuple[float, float, float]
    contrast: float
    saturation: float
    lift: float


GRADES = (
    Grade("neutral", (1.00, 1.00, 1.00), 1.00, 1.00, 0.00),
    Grade("warm", (1.03, 1.00, 0.93), 1.00, 1.02, 0.00),
    Grade("cool", (0.96, 1.00, 1.04), 1.00, 0.96, 0.01),
    Grade("faded", (1.01, 1.00, 0.97), 0.90, 0.88, 0.03),
    Grade("rich", (1.00, 0.99, 0.99), 1.08, 1.10, 0.00),
    Grade("golden", (1.04, 0.99, 0.90), 1.03, 1.03, 0.01),
    Grade("teal", (0.96, 1.02, 1.01), 1.04, 0.98, 0.01),
    Grade("rose", (1.03, 0.97, 0.99), 0.98, 0.98, 0.01),
)


@dataclass(frozen=True)
class Film:
    """An invented film. `aspect` is width / height of the picture; `letterboxed` stills carry black bars."""

    id: str
    title: str
    year: int
    aspect: float
    letterboxed: bool
    grade: Grade
    cast: tuple[Person, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Pose:
    """Small variations of one shot, all near zero; lengths in body heights, angles in degrees."""

    expression: str = "calm"
    tilt: float = 0.0  # of the head, degrees
    gaze: float = 0.0  # of the face's features to the side, body heights
    arms: int = 0  # which resting pose of the arms
    stride: float = 0.0  # half the distance between the feet, body heights
    sway: float = 0.0  # of the hands, body heights


@dataclass(frozen=True)
class Shot:
    """What one frame shows. `offset` and `window` are in frame heights.

    `offset` is the subject's place in the square, 0 its centre.
    `window` in [-1, 1] says where the wide frame lies about that square: 0 centred on it, the ends as far as
    it can move. `mirror` turns the figures and their props, `pan` and `flip` move the place.
    """

    film: Film
    index: int
    people: tuple[Person, ...]
    place: str
    prop: str | None
    night: bool
    distance: float
    poses: tuple[Pose, ...]
    offset: float
    window: float
    mirror: bool
    flip: bool
    pan: float
    headroom: float  # added to the usual headroom, frame heights
    partner: float  # the second person's place beside the first, 0 near to 1 far


def generator(*key: object) -> np.random.Generator:
    """A numpy generator from the stable hash of the key's parts."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


# --- films --------------------------------------------------------------------------------------------------

_ADJECTIVES = [
    "Amber",
    "Quiet",
    "Crimson",
    "Hollow",
    "Silver",
    "Distant",
    "Paper",
    "Velvet",
    "Wandering",
    "Broken",
    "Golden",
    "Midnight",
    "Salt",
    "Winter",
    "Emerald",
    "Borrowed",
    "Restless",
    "Painted",
    "Northern",
    "Gentle",
    "Copper",
    "Vanishing",
    "Marble",
    "Secret",
    "Electric",
    "Drowsy",
    "Scarlet",
    "Patient",
    "Foreign",
    "Frozen",
    "Ivory",
    "Burning",
    "Lonely",
    "Second",
    "Violet",
    "Forgotten",
    "Wooden",
    "Tender",
    "Lucky",
    "Invisible",
]
_NOUNS = [
    "Harbour",
    "Orchard",
    "Lantern",
    "Carousel",
    "Violin",
    "Station",
    "Meridian",
    "Garden",
    "Letter",
    "Lighthouse",
    "Compass",
    "Circus",
    "Window",
    "Sparrow",
    "Tide",
    "Avenue",
    "Clockmaker",
    "Parade",
    "Stranger",
    "Island",
    "Machine",
    "Summer",
    "Piano",
    "Mirror",
    "Balcony",
    "Horizon",
    "Passenger",
    "Postcard",
    "Cartographer",
    "Canal",
    "Umbrella",
    "Waltz",
    "Aviator",
    "Hotel",
    "Bridge",
    "Photograph",
    "Valley",
    "Tailor",
    "Comet",
    "Winter",
]
_NAMES = [
    "Marlow",
    "Odette",
    "Vesper",
    "Ilya",
    "Juno",
    "Calder",
    "Wren",
    "Anselm",
    "Noor",
    "Tamsin",
    "Oskar",
    "Lucia",
    "Bram",
    "Yuki",
    "Sabine",
    "Emre",
]


def _title(rng: np.random.Generator) -> str:
    adjective, noun, name = pick(rng, _ADJECTIVES), pick(rng, _NOUNS), pick(rng, _NAMES)
    forms = (
        f"The {adjective} {noun}",
        f"{adjective} {noun}",
        f"{name} and the {noun}",
        f"The {noun} of {name}",
        f"A {noun} for {name}",
        f"{name}'s {adjective} {noun}",
        f"Last {noun} Before {adjective} {pick(rng, _NOUNS)}",
    )
    article = pick(rng, forms)
    return re.sub(r"^A (?=[AEIOU])", "An ", article)


def _year(rng: np.random.Generator) -> int:
    return int(rng.integers(2005, 2013)) if rng.random() < 0.12 else int(rng.integers(2013, 2023))


def _slug(title: str, year: int, seed: int) -> str:
    mark = hashlib.sha256(f"{title}|{year}|{seed}".encode()).hexdigest()[:4]
    words = re.sub(r"[^a-z0-9]+", "-", title.lower().replace("'", "")).strip("-")
    return f"{words}-{year}-{mark}"


def make_person(rng: np.random.Generator) -> Person:
    """A person with every attribute drawn independently, but for skins that a hair colour would melt into."""
    who = pick(rng, WHO)
    hair = pick(rng, HAIR_COLOURS)
    skins = SKINS[:3] if hair in ("brown", "red") else SKINS
    return Person(
        who=who,
        build=float(rng.uniform(0.93, 1.08)),
        skin=pick(rng, skins),
        hair_colour=hair,
        hair_style=pick(rng, HAIR_STYLES[who]),
        garment=pick(rng, GARMENTS[who]),
        garment_colour=pick(rng, GARMENT_COLOURS),
        trousers=int(rng.integers(3)),
        beard=who == "man" and bool(rng.random() < 0.4),
    )


def _cast(rng: np.random.Generator) -> tuple[Person, ...]:
    """Two to four people, no two with the same sex and hair colour or with the same garment colour."""
    size = int(rng.integers(2, 5))
    cast: list[Person] = []
    while len(cast) < size:
        person = make_person(rng)
        alike = any((p.who, p.hair_colour) == (person.who, person.hair_colour) for p in cast)
        if not alike and all(p.garment_colour != person.garment_colour for p in cast):
            cast.append(person)
    return tuple(cast)


def _film(title: str, seed: int, rng: np.random.Generator) -> Film:
    year = _year(rng)
    places = rng.permutation(len(PLACES))[: int(rng.integers(2, 5))]
    return Film(
        id=_slug(title, year, seed),
        title=title,
        year=year,
        aspect=pick(rng, ASPECTS),
        letterboxed=bool(rng.random() < 0.3),
        grade=pick(rng, GRADES),
        cast=_cast(rng),
        places=tuple(PLACES[i] for i in places),
    )


def make_films(seed: int, count: int) -> tuple[Film, ...]:
    """`count` films with different titles. A longer list begins with the shorter one of the same seed."""
    rng = generator("titles", seed)
    titles: dict[str, None] = {}
    sequel = 1
    while len(titles) < count:
        title = _title(rng)
        while title in titles:  # a sequel, as in life
            sequel += 1
            title = f"{_title(rng)} {sequel}"
        titles[title] = None
    return tuple(_film(title, seed, generator("film", seed, title)) for title in titles)


# --- shots --------------------------------------------------------------------------------------------------


def shot_type(distance: float) -> str:
    """The class of a distance in body heights: `close` neck up, `medium` waist up, `long` with the feet."""
    if distance < CLOSE_MEDIUM:
        return "close"
    return "medium" if distance < MEDIUM_LONG else "long"


def is_border(distance: float) -> bool:
    """Whether a distance lies between two classes: a chest, or the knees, at the bottom of the frame."""
    return not any(low <= distance <= high for low, high in CORE_DISTANCES.values())


def _border_range(kind: str, rng: np.random.Generator) -> tuple[float, float]:
    """The part of a class outside its core; a medium shot has one at each end."""
    below, above = (CORE_DISTANCES["close"][1], CLOSE_MEDIUM), (MEDIUM_LONG, CORE_DISTANCES["long"][0])
    middle = CORE_DISTANCES["medium"]
    choices = {
        "close": (below,),
        "medium": ((CLOSE_MEDIUM, middle[0]), (middle[1], MEDIUM_LONG)),
        "long": (above,),
    }
    return pick(rng, choices[kind])


def sample_distance(rng: np.random.Generator) -> float:
    """A distance in body heights, 30/40/30 close/medium/long, with border cases; even in ratios."""
    kind = SHOT_TYPES[int(rng.choice(3, p=TYPE_SHARES))]
    low, high = _border_range(kind, rng) if rng.random() < BORDER_SHARE else CORE_DISTANCES[kind]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sample_pose(rng: np.random.Generator) -> Pose:
    """How somebody stands, every part drawn independently."""
    return Pose(
        expression=pick(rng, EXPRESSIONS),
        tilt=float(rng.uniform(-5, 5)),
        gaze=float(rng.uniform(-0.010, 0.010)),
        arms=int(rng.integers(3)),
        stride=float(rng.uniform(0.0, 0.035)),
        sway=float(rng.uniform(-0.010, 0.010)),
    )


def sample_shot(film: Film, index: int, seed: int, distance: float | None = None) -> Shot:
    """The `index`-th shot of a film. A given `distance` (body heights) changes the scale and nothing else."""
    rng = generator("shot", seed, film.id, index)
    drawn = sample_distance(rng)
    order = rng.permutation(len(film.cast))
    couple = bool(rng.random() < COUPLE_SHARE)
    prop = pick(rng, PROPS)
    prop_or_none = prop if rng.random() < PROP_SHARE else None
    mirror = bool(rng.random() < 0.5) or couple  # the second person stands on the viewer's right: the prop goes left
    side = -1.0 if mirror else 1.0
    lean = 0.0 if couple else 0.05
    centre = -0.045 if couple else -side * lean * (prop_or_none is not None)
    return Shot(
        film=film,
        index=index,
        people=tuple(film.cast[i] for i in order[: 2 if couple else 1]),
        place=pick(rng, film.places),
        prop=prop_or_none,
        night=bool(rng.random() < NIGHT_SHARE),
        distance=drawn if distance is None else float(distance),
        poses=(sample_pose(rng), sample_pose(rng)),
        offset=float(np.clip(centre + rng.uniform(-0.045, 0.045), -0.12, 0.12)),
        window=float(pick(rng, (-1.0, 0.0, 1.0)) * rng.uniform(0.8, 1.0)),
        mirror=mirror,
        flip=bool(rng.random() < 0.5),
        pan=float(rng.uniform(-0.12, 0.12)),
        headroom=float(rng.uniform(-0.012, 0.02)),
        partner=float(rng.random()),
    )


# --- captions -----------------------------------------------------------------------------------------------


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def caption(shot: Shot) -> str:
    """What the frame shows, in lower case and without a word on its scale. The prop is the first person's."""
    person = shot.people[0]
    parts = [f"{_article(person.who)} with {person.hair_colour} hair"]
    parts.append(f"in {_article(person.garment_colour)} {person.garment}")
    if shot.prop:
        parts.append(PROP_PHRASES[shot.prop])
    if len(shot.people) > 1:
        parts.append(f"beside {_article(shot.people[1].who)}")
    parts.append(PLACE_PHRASES[shot.place])
    if shot.night:
        parts.append("at night")
    return " ".join(parts)


def attributes(shot: Shot) -> dict[str, str]:
    """The truth of a caption: who, hair, garment (its colour), place, prop ("none" without), time "
    "(day|night), people ("1"|"2")."""
    person = shot.people[0]
    return {
        "who": person.who,
        "hair": person.hair_colour,
        "garment": person.garment_colour,
        "place": shot.place,
        "prop": shot.prop or "none",
        "time": "night" if shot.night else "day",
        "people": str(len(shot.people)),
    }


def _one_of(words: Sequence[str]) -> str:
    return "(" + "|".join(re.escape(word) for word in words) + ")"


_KINDS = sorted({kind for kinds in GARMENTS.values() for kind in kinds})
_PLACE_OF = {phrase: place for place, phrase in PLACE_PHRASES.items()}
_PROP_OF = {phrase: prop for prop, phrase in PROP_PHRASES.items()}
_WHO_RE = re.compile(rf"^an? {_one_of(WHO)}\b")
_HAIR_RE = re.compile(rf"\bwith {_one_of(HAIR_COLOURS)} hair\b")
_GARMENT_RE = re.compile(rf"\bin an? {_one_of(GARMENT_COLOURS)} {_one_of(_KINDS)}\b")
_PROP_RE = re.compile(rf"\b{_one_of(tuple(_PROP_OF))}\b")
_PLACE_RE = re.compile(rf"\b{_one_of(tuple(_PLACE_OF))}\b")
_BESIDE_RE = re.compile(rf"\bbeside an? {_one_of(WHO)}\b")
_TAIL_RE = re.compile(  # a whole end of a caption: only then does a missing word mean "none", "day" or "1"
    rf"{_GARMENT_RE.pattern}( {_PROP_RE.pattern[2:-2]})?( {_BESIDE_RE.pattern[2:-2]})? "
    f"{_PLACE_RE.pattern[2:-2]}( at night)?$"
)


def parse_caption(text: str) -> dict[str, str]:
    """What a caption states, keyed as `attributes`; a key is absent where words are missing or garbled."""
    text = " ".join(text.lower().replace(".", " ").split())
    found: dict[str, str] = {}
    for key, pattern in (("who", _WHO_RE), ("hair", _HAIR_RE), ("garment", _GARMENT_RE)):
        if match := pattern.search(text):
            found[key] = match.group(1)
    if match := _PLACE_RE.search(text):
        found["place"] = _PLACE_OF[match.group(1)]
    whole = _TAIL_RE.search(text) is not None
    if match := _PROP_RE.search(text):
        found["prop"] = _PROP_OF[match.group(1)]
    elif whole:
        found["prop"] = "none"
    if text.endswith(" at night"):
        found["time"] = "night"
    elif whole:
        found["time"] = "day"
    if _BESIDE_RE.search(text):
        found["people"] = "2"
    elif whole:
        found["people"] = "1"
    return found
