"""The head: face, hair, beard and expression, in body coordinates."""

from demo.draw.colour import HAIR_INKS, SKIN_INKS, mix, shadow_of
from demo.draw.pen import Box, Pen, mirrored, path
from demo.world import Person, Pose

FACES = {
    "man": mirrored(
        "M -.030 .028 C -.048 .032 -.058 .048 -.060 .070 C -.063 .110 -.062 .140 -.050 .164 C -.038 "
        ".186 -.016 .191 .0 .191"
    ),
    "woman": mirrored(
        "M -.030 .028 C -.046 .032 -.056 .048 -.058 .070 C -.062 .112 -.058 .138 -.044 .162 C -.030 "
        ".182 -.012 .191 .0 .191"
    ),
}
_CURLS = "".join(
    f" O {x} {y} {r} {r}"
    for x, y, r in (
        (0, 0.025, 0.042),
        (-0.045, 0.035, 0.042),
        (0.045, 0.035, 0.042),
        (-0.076, 0.075, 0.040),
        (0.076, 0.075, 0.040),
        (-0.086, 0.120, 0.040),
        (0.086, 0.120, 0.040),
        (-0.078, 0.165, 0.038),
        (0.078, 0.165, 0.038),
        (0, 0.09, 0.07),
    )
)
_CURL_FRINGE = "".join(
    f" O {x} {y} {r} {r}"
    for x, y, r in (
        (-0.052, 0.060, 0.026),
        (-0.022, 0.048, 0.028),
        (0.014, 0.046, 0.028),
        (0.047, 0.058, 0.027),
        (-0.066, 0.088, 0.020),
        (0.066, 0.088, 0.020),
        (-0.03, 0.03, 0.035),
        (0.03, 0.03, 0.035),
    )
)
_SLEEK = (
    "M -.070 .112 C -.080 .03 -.052 .002 0 .002 C .052 .002 .080 .03 .070 .112 C .066 .12 .060 .12 .057 "
    ".108 C .054 .082 .034 .058 .012 .050 "
    "C -.02 .066 -.050 .078 -.057 .108 C -.060 .12 -.066 .12 -.070 .112 Z"
)
HAIR_FRONTS = {
    "short": "M -.069 .112 C -.080 .04 -.060 0 0 -.003 C .060 0 .080 .04 .069 .112 L .059 .104 C .058 "
    ".080 .052 .066 .034 .060 "
    "C 0 .052 -.034 .056 -.050 .066 C -.056 .078 -.058 .09 -.059 .104 Z",
    "quiff": "M -.067 .106 C -.080 .05 -.078 .004 -.040 -.008 C .010 -.024 .088 -.020 .084 .030 C .082 "
    ".056 .070 .076 .067 .106 L .058 .098 "
    "C .057 .076 .050 .064 .030 .058 C -.010 .056 -.044 .058 -.058 .098 Z",
    "crop": "M -.067 .100 C -.072 .03 -.052 .006 0 .004 C .052 .006 .072 .03 .067 .100 L .058 .094 C "
    ".057 .08 .055 .07 .050 .064 Q 0 .052 -.050 .064 "
    "C -.055 .07 -.057 .08 -.058 .094 Z",
    "swept": "M -.070 .130 C -.088 .03 -.052 -.008 .010 -.008 C .074 -.006 .090 .05 .071 .130 L .060 "
    ".124 C .061 .09 .052 .07 .036 .046 "
    "C .014 .068 -.028 .082 -.056 .078 L -.060 .124 Z",
    "long": "M .008 -.004 C .060 -.004 .088 .03 .088 .10 C .088 .16 .100 .22 .090 .285 Q .076 .305 .060 "
    ".285 C .070 .22 .056 .16 .056 .115 "
    "C .052 .085 .036 .062 .008 .044 C -.026 .062 -.052 .085 -.056 .115 C -.056 .16 -.070 .22 -.060 "
    ".285 Q -.076 .305 -.090 .285 "
    "C -.100 .22 -.088 .16 -.088 .10 C -.088 .03 -.056 -.004 .008 -.004 Z",
    "bob": "M -.088 .186 C -.104 .05 -.064 -.005 0 -.005 C .064 -.005 .104 .05 .088 .186 Q .072 .200 "
    ".054 .186 C .060 .14 .058 .11 .055 .074 "
    "Q 0 .086 -.055 .074 C -.058 .11 -.060 .14 -.054 .186 Q -.072 .200 -.088 .186 Z",
    "bun": _SLEEK,
    "ponytail": _SLEEK,
    "curly": _CURL_FRINGE,
}
HAIR_BACKS = {
    "long": "M 0 -.002 C .07 -.002 .090 .05 .090 .11 C .090 .19 .104 .24 .094 .29 Q .06 .33 .03 .30 L "
    "-.03 .30 Q -.06 .33 -.094 .29 "
    "C -.104 .24 -.090 .19 -.090 .11 C -.090 .05 -.07 -.002 0 -.002 Z",
    "bob": "M -.080 .05 L .080 .05 L .080 .19 Q 0 .22 -.080 .19 Z",
    "bun": "O 0 -.004 .038 .034",
    "ponytail": "M -.045 .03 C -.125 .01 -.140 .10 -.122 .20 C -.118 .27 -.100 .30 -.082 .285 C -.094 "
    ".22 -.080 .12 -.040 .09 Z",
    "curly": _CURLS,
}
BEARD = (
    "M -.061 .112 C -.060 .142 -.050 .168 -.036 .184 C -.020 .198 .020 .198 .036 .184 C .050 .168 .060 "
    ".142 .061 .112 "
    "C .054 .132 .046 .142 .030 .139 C .014 .133 -.014 .133 -.030 .139 C -.046 .142 -.054 .132 -.061 .112 Z"
)


def _mouth(pen: Pen, person: Person, pose: Pose) -> None:
    lip = mix(SKIN_INKS[person.skin], 0xB3262E if person.who == "woman" else 0x6E2A26, 0.72)
    width = 0.009 if person.who == "woman" else 0.0065
    if pose.expression == "smile":
        pen.fill("M -.023 .150 Q 0 .157 .023 .150 Q .015 .172 0 .172 Q -.015 .172 -.023 .150 Z", lip)
        pen.fill("M -.017 .1525 Q 0 .158 .017 .1525 Q .010 .161 0 .161 Q -.010 .161 -.017 .1525 Z", 0xFFF8F0)
    elif pose.expression == "surprised":
        pen.fill("O 0 .160 .010 .012", lip)
    elif pose.expression == "serious":
        pen.line("M -.016 .158 L .018 .158", lip, width)
    else:
        pen.line("M -.020 .154 Q 0 .167 .020 .154", lip, width)


def _features(pen: Pen, person: Person, pose: Pose) -> None:
    """Cheeks, nose, eyes, brows and mouth, moved to the side of the gaze."""
    skin = SKIN_INKS[person.skin]
    pen.canvas.save()
    pen.canvas.translate(pose.gaze, 0.0)
    brow = mix(HAIR_INKS[person.hair_colour], 0x2A1E1C, 0.35)
    lift = -0.007 if pose.expression == "surprised" else 0.0
    weight = 0.009 if person.who == "man" else 0.0065
    for side in (-1, 1):
        pen.oval(side * 0.036, 0.142, 0.012, 0.009, 0xE8604C, 0.28)
        x = side * 0.027
        pen.oval(x, 0.113, 0.0135, 0.0120, 0xFFFDF8)
        pen.oval(x + pose.gaze * 0.35, 0.1135, 0.0085, 0.0100, 0x241A1E)
        pen.oval(x + pose.gaze * 0.35 - 0.003, 0.1095, 0.0028, 0.0030, 0xFFFFFF)
        if person.who == "woman":
            pen.line(f"M {x - 0.015} .108 Q {x} .097 {x + 0.015} .108", 0x241A1E, 0.005)
        inner = 0.001 if pose.expression == "serious" else -0.001
        pen.line(
            f"M {side * 0.013} {0.091 + lift + inner} Q {side * 0.028} {0.083 + lift} {side * 0.043} "
            f"{0.091 + lift - inner}",
            brow,
            weight,
        )
    pen.line("M .001 .118 Q .010 .133 .007 .138 Q .002 .141 -.004 .138", shadow_of(shadow_of(skin)), 0.006)
    _mouth(pen, person, pose)
    pen.canvas.restore()


def head(pen: Pen, person: Person, pose: Pose, detailed: bool) -> None:
    """Ears, face and the hair before it; `detailed` adds the features."""
    skin, hair = SKIN_INKS[person.skin], HAIR_INKS[person.hair_colour]
    pen.shape("O -.062 .118 .012 .018 O .062 .118 .012 .018", skin)
    pen.shape(FACES[person.who], skin, shade=0.030)
    if person.beard:
        pen.fill(BEARD, hair)
    if detailed:
        _features(pen, person, pose)
    front = HAIR_FRONTS[person.hair_style]
    pen.shape(front, hair, shade=0.036)
    if detailed and person.hair_style != "curly":
        shine = mix(hair, 0xFFFFFF, 0.30)
        pen.line("M -.052 .040 Q -.040 .020 -.014 .014", shine, 0.009)


def hair_back(pen: Pen, person: Person) -> None:
    """The hair behind the head, where the style has any."""
    back = HAIR_BACKS.get(person.hair_style)
    if back:
        pen.shape(
            back,
            shadow_of(HAIR_INKS[person.hair_colour])
            if person.hair_style in ("long", "bob")
            else HAIR_INKS[person.hair_colour],
        )


def head_outline(person: Person) -> Box:
    """The head with its hair in body heights: (x0, y0, x1, y1)."""
    bounds = [path(FACES[person.who]).getBounds(), path(HAIR_FRONTS[person.hair_style]).getBounds()]
    if person.hair_style in ("bun", "curly"):
        bounds.append(path(HAIR_BACKS[person.hair_style]).getBounds())
    top = min(b.top() for b in bounds)
    half = max(b.right() for b in bounds)
    return -half, top, half, 0.191
