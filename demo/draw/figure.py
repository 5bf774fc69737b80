"""A person in body coordinates: legs, garment, arms, and the whole figure with its head and prop."""

from collections.abc import Callable

import numpy as np

from demo.draw.colour import GARMENT_INKS, SKIN_INKS, TROUSER_INKS, edge_of, mix, shadow_of
from demo.draw.head import hair_back, head
from demo.draw.pen import Pen, Point, mirrored
from demo.draw.props import PROPS_BEFORE, PROPS_BEHIND, hat_before, hat_behind
from demo.world import Person, Pose

TORSOS = {
    ("man", "shirt"): mirrored(
        "M -.036 .205 C -.070 .220 -.116 .222 -.124 .268 C -.118 .34 -.098 .40 -.096 .46 L -.094 .545"
    ),
    ("man", "sweater"): mirrored(
        "M -.036 .205 C -.074 .220 -.120 .222 -.128 .268 C -.122 .34 -.104 .40 -.102 .46 L -.098 .56"
    ),
    ("man", "coat"): mirrored(
        "M -.036 .203 C -.074 .216 -.124 .220 -.132 .268 C -.126 .34 -.106 .40 -.104 .46 L -.122 .72"
    ),
    ("woman", "sweater"): mirrored(
        "M -.032 .205 C -.060 .222 -.098 .224 -.106 .265 C -.102 .33 -.078 .37 -.076 .42 C -.078 .47 "
        "-.094 .50 -.094 .55"
    ),
    ("woman", "coat"): mirrored(
        "M -.032 .203 C -.062 .218 -.102 .222 -.110 .265 C -.106 .33 -.080 .37 -.078 .42 C -.082 .52 "
        "-.112 .60 -.124 .73"
    ),
    ("woman", "dress"): mirrored(
        "M -.040 .212 C -.062 .222 -.094 .226 -.102 .265 C -.098 .33 -.070 .37 -.068 .42 C -.076 .52 "
        "-.130 .62 -.148 .75"
    ),
}


ARM_WIDTH = {"man": 0.058, "woman": 0.047}
SHOULDER = {"man": 0.099, "woman": 0.083}
# elbow and wrist of the left and the right arm, as (x, y) with x outwards
REST_ARMS = (
    (((0.128, 0.40), (0.120, 0.52)), ((0.128, 0.40), (0.120, 0.52))),
    (((0.185, 0.375), (0.100, 0.475)), ((0.126, 0.40), (0.118, 0.52))),
    (((0.128, 0.40), (0.030, 0.455)), ((0.128, 0.40), (0.030, 0.475))),
)
PROP_ARMS: dict[str, tuple[Point, Point]] = {
    "umbrella": ((0.150, 0.405), (0.108, 0.305)),
    "balloon": ((0.170, 0.390), (0.165, 0.275)),
    "lantern": ((0.185, 0.375), (0.160, 0.105)),
    "flowers": ((0.160, 0.395), (0.112, 0.280)),
    "trumpet": ((0.180, 0.340), (0.085, 0.190)),
}


def _legs(pen: Pen, person: Person, pose: Pose) -> None:
    spread = 0.012 + pose.stride
    bare = person.garment == "dress"
    colour = SKIN_INKS[person.skin] if bare else TROUSER_INKS[person.trousers]
    top, hip = (0.026, 0.052) if bare else (0.050, 0.046)
    foot = 0.016 if bare else 0.027
    for side in (-1, 1):
        x = side * (foot + spread)
        pen.shape(
            f"M {x - 0.022} .955 C {x - 0.024} .975 {x - 0.026 + side * 0.014} .985 "
            f"{x - 0.034 + side * 0.014} 1 L {x + 0.034 + side * 0.014} 1 "
            f"C {x + 0.026 + side * 0.014} .98 {x + 0.024} .975 {x + 0.022} .955 Z",
            0x33261F,
        )
        pen.shape(
            f"M {side * hip - top} .52 L {side * hip + top} .52 L {x + foot} .965 L {x - foot} .965 Z",
            colour,
            shade=x + foot * 0.35,
        )


def _coat_details(pen: Pen, colour: int) -> None:
    dark = edge_of(colour)
    pen.line("M .006 .30 L .010 .70", dark, 0.008)
    pen.shape(
        "M -.030 .198 L .006 .300 L -.058 .268 L -.052 .210 Z M .030 .198 L .006 .300 L .058 .268 L .052 .210 Z",
        mix(colour, 0xFFFFFF, 0.10),
    )
    for y in (0.345, 0.415, 0.485):
        pen.oval(0.028, y, 0.009, 0.009, dark)


def _garment_details(pen: Pen, person: Person, colour: int) -> None:
    """Collars, cuffs and hems: what tells a coat from a sweater, a shirt or a dress."""
    if person.garment == "coat":
        _coat_details(pen, colour)
    elif person.garment == "sweater":
        light = mix(colour, 0xFFFFFF, 0.14)
        pen.shape("M -.040 .190 Q 0 .204 .040 .190 L .046 .226 Q 0 .244 -.046 .226 Z", light, shade=0.018)
        half = 0.098 if person.who == "man" else 0.094
        pen.fill(f"M -{half} .53 L {half} .53 L {half} .555 L -{half} .555 Z", shadow_of(colour))
    elif person.garment == "shirt":
        pen.line("M 0 .25 L 0 .54", edge_of(colour), 0.006)
        pen.shape(
            "M -.036 .196 L 0 .246 L -.034 .266 L -.058 .214 Z M .036 .196 L 0 .246 L .034 .266 L .058 .214 Z",
            mix(colour, 0xFFFFFF, 0.14),
        )
        pen.fill("M -.094 .528 L .094 .528 L .094 .550 L -.094 .550 Z", 0x4A3628)
    else:
        pen.fill("M -.069 .405 L .069 .405 L .069 .432 L -.069 .432 Z", edge_of(colour))


def _neck(pen: Pen, person: Person) -> None:
    skin = SKIN_INKS[person.skin]
    half = 0.031 if person.who == "man" else 0.025
    pen.shape(
        f"M -{half} .15 L {half} .15 L {half} .205 C {half + 0.006} .218 {half + 0.02} .222 .05 .226 Q "
        f"0 .262 -.05 .226 "
        f"C -{half + 0.02} .222 -{half + 0.006} .218 -{half} .205 Z",
        shadow_of(skin),
    )


def _arm(pen: Pen, person: Person, side: int, elbow: Point, wrist: Point) -> None:
    """A sleeve from the shoulder over the elbow to the wrist, and a hand; `side` is -1 or 1."""
    colour, width = GARMENT_INKS[person.garment_colour], ARM_WIDTH[person.who]
    (ex, ey), (wx, wy) = elbow, wrist
    text = f"M {side * SHOULDER[person.who]} .258 L {side * ex} {ey} L {side * wx} {wy}"
    length = max(float(np.hypot(wx - ex, wy - ey)), 1e-6)
    hx, hy = wx + (wx - ex) / length * 0.026, wy + (wy - ey) / length * 0.026
    pen.shape(f"O {side * hx} {hy} .022 .024", SKIN_INKS[person.skin])
    pen.line(text, edge_of(colour, pen.night), width + 2 * pen.key)
    sleeve = shadow_of(colour) if side > 0 else colour
    pen.line(text, sleeve, width)
    pen.oval(side * (SHOULDER[person.who] - 0.016), 0.264, width * 0.5, width * 0.44, sleeve)  # no seam at the shoulder


def _arms(pen: Pen, person: Person, pose: Pose, prop: str | None) -> None:
    left, right = REST_ARMS[pose.arms]
    if prop in PROP_ARMS:
        left = REST_ARMS[min(pose.arms, 1)][0]
        right = PROP_ARMS[prop]
    if prop == "trumpet":
        left = ((0.150, 0.350), (-0.030, 0.200))
    for side, (elbow, wrist) in ((-1, left), (1, right)):
        held = prop in PROP_ARMS and (side == 1 or prop == "trumpet")
        sway = 0.0 if held else pose.sway
        _arm(pen, person, side, elbow, (wrist[0], wrist[1] + sway))


def _grip(pen: Pen, person: Person, prop: str) -> None:
    """The fingers over what the hand holds."""
    (ex, ey), (wx, wy) = PROP_ARMS[prop]
    length = float(np.hypot(wx - ex, wy - ey))
    pen.shape(
        f"O {wx + (wx - ex) / length * 0.026} {wy + (wy - ey) / length * 0.026} .021 .019",
        SKIN_INKS[person.skin],
    )


def _body(pen: Pen, person: Person, pose: Pose) -> None:
    colour = GARMENT_INKS[person.garment_colour]
    _legs(pen, person, pose)
    if person.garment in ("dress", "shirt"):
        pen.shape(TORSOS[person.who, person.garment], colour, shade=0.045)
        _neck(pen, person)
    else:
        _neck(pen, person)
        pen.shape(TORSOS[person.who, person.garment], colour, shade=0.045)
    _garment_details(pen, person, colour)


def _turned(pen: Pen, pose: Pose, part: Callable[[], None]) -> None:
    """Draws a part of the head with the head's tilt."""
    pen.canvas.save()
    pen.canvas.rotate(pose.tilt, 0.0, 0.19)
    part()
    pen.canvas.restore()


def _behind_head(pen: Pen, person: Person, hat: bool) -> None:
    if hat:
        hat_behind(pen)
    hair_back(pen, person)


def figure(pen: Pen, person: Person, pose: Pose, prop: str | None, detailed: bool) -> None:
    """A person in body coordinates, from what is behind to what is before."""
    behind, before = PROPS_BEHIND.get(prop or ""), PROPS_BEFORE.get(prop or "")
    canvas, hat = pen.canvas, prop == "hat"
    canvas.save()
    canvas.scale(person.build, 1.0)
    if behind and not hat:
        behind(pen)
    _turned(pen, pose, lambda: _behind_head(pen, person, hat))
    _body(pen, person, pose)
    canvas.save()
    canvas.scale(1 / person.build, 1.0)
    _turned(pen, pose, lambda: head(pen, person, pose, detailed))
    canvas.restore()
    _arms(pen, person, pose, prop)
    if before and hat:
        _turned(pen, pose, lambda: hat_before(pen))
    elif before:
        before(pen)
    if prop in PROP_ARMS:
        _grip(pen, person, prop)
    canvas.restore()
