"""What the tiny DINO learns from: takes, each seen at two moments.

    python -m demo.takes

In a take the camera stays where it is: place, light and distance are the same. Between its two moments the camera
pans, the print is graded anew and another of the cast has come into the frame, so what the two have in common is where
it was filmed and from how far. The figure stands anywhere across, as it does in squares cut from wide stills. Nothing
is said about a take: there is no label.

Renders ``.work/demo/frames/takes.npy``: (takes, 2, 128, 128, 3) uint8 RGB, of films that are not among the study's.
"""

from dataclasses import replace

import numpy as np

from demo.data import DRAWN, FOLDER, SIDE, SPLITS, Rows, reduce_by_area, render_films
from demo.draw import draw
from demo.world import GRADES, Film, Person, Shot, generator, make_films, pick, sample_pose, sample_shot

SEED, FILMS, _ = SPLITS["train"]
EACH = 64  # takes a film
FIRST = 1000  # the number of a film's first take: its frames for the other models have lower ones
DRIFT = 0.04  # of the distance, in natural logarithms: a camera that stands is never quite still
ACROSS = 0.38  # of the frame's height: how far from the middle a wide still's square may have its figure
CENTRAL = 0.25  # the share of moments whose figure stays near the middle
PAN = 0.15  # of the frame's height: how much further the camera turns


def others(shot: Shot, rng: np.random.Generator) -> tuple[Person, ...]:
    """The people of the second moment: another of the cast comes in, beside who was there if there were two."""
    absent = [person for person in shot.film.cast if person not in shot.people]
    if not absent:
        return shot.people[::-1]
    newcomer = pick(rng, absent)
    return (newcomer, *shot.people[:-1])


def moment(shot: Shot, people: tuple[Person, ...], film: Film, rng: np.random.Generator) -> Shot:
    """The shot with these people, drawn as a moment of it: other poses, another place across, another pan."""
    across = 0.0 if rng.random() < CENTRAL else float(rng.uniform(-ACROSS, ACROSS))
    return replace(
        shot,
        film=film,
        people=people,
        distance=shot.distance * float(np.exp(rng.uniform(-DRIFT, DRIFT))),
        poses=(sample_pose(rng), sample_pose(rng)),
        offset=shot.offset + across,
        pan=shot.pan + across + float(rng.uniform(-PAN, PAN)),
        prop=shot.prop if rng.random() < 0.5 else None,
        headroom=float(rng.uniform(-0.012, 0.02)),
        partner=float(rng.random()),
    )


def take(film: Film, index: int) -> tuple[Shot, Shot]:
    """The two moments of a film's take."""
    shot = sample_shot(film, FIRST + index, SEED)
    rng = generator("take", SEED, film.id, index)
    anew = replace(film, grade=pick(rng, [grade for grade in GRADES if grade != film.grade]))
    return moment(shot, shot.people, film, rng), moment(shot, others(shot, rng), anew, rng)


def film_takes(film: Film, each: int = EACH) -> tuple[np.ndarray, Rows]:
    """(each, 2, 128, 128, 3) uint8: a film's takes; nothing is said about them."""
    drawn = [draw(shot, DRAWN, aspect=1.0).pixels for index in range(each) for shot in take(film, index)]
    pixels = np.stack([reduce_by_area(picture, DRAWN // SIDE) for picture in drawn])
    return pixels.reshape(each, 2, SIDE, SIDE, 3), []


def load_takes() -> np.ndarray:
    """(takes, 2, 128, 128, 3) uint8, rendered if they are not there yet."""
    path = FOLDER / "takes.npy"
    if not path.is_file():
        render_films(path, make_films(SEED, FILMS), film_takes, (EACH, 2, SIDE, SIDE, 3))
    pixels: np.ndarray = np.load(path, mmap_mode="r")
    return pixels


if __name__ == "__main__":
    print(f"takes: {len(load_takes())}")
