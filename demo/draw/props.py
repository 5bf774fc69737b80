"""Props in body coordinates, on the +x side: the parts behind the figure, and those before it."""

from collections.abc import Callable

from demo.draw.colour import edge_of
from demo.draw.pen import Pen


def umbrella_behind(pen: Pen) -> None:
    """The canopy, turquoise and ivory."""
    dome = "M -.235 .080 C -.225 -.08 -.06 -.155 .055 -.155 C .17 -.155 .335 -.08 .345 .080 "
    rim = (
        "Q .295 .045 .245 .080 Q .20 .045 .15 .080 Q .055 .03 -.04 .080 Q -.09 .045 -.135 .080 Q -.185 "
        ".045 -.235 .080 Z"
    )
    pen.shape(dome + rim, 0x17A8A5)
    pen.fill(
        "M -.135 .080 C -.13 -.04 -.02 -.13 .055 -.155 C .0 -.10 -.035 .0 -.04 .080 Q -.09 .045 -.135 .080 Z",
        0xFFF6E2,
    )
    pen.fill(
        "M .245 .080 C .24 -.04 .13 -.13 .055 -.155 C .11 -.10 .145 .0 .15 .080 Q .20 .045 .245 .080 Z",
        0xFFF6E2,
    )


def umbrella_before(pen: Pen) -> None:
    """The stick and its crook."""
    pen.line("M .098 .06 L .110 .36 Q .112 .39 .128 .385 Q .138 .38 .136 .365", 0x5B3A2A, 0.014)


def balloon_behind(pen: Pen) -> None:
    """A red balloon and its string."""
    pen.line("M .165 .275 Q .185 .20 .165 .12", 0xFFF6E6, 0.008)
    pen.shape("M .165 .125 L .148 .145 L .182 .145 Z", 0xC81E3A)
    pen.shape("O .165 .035 .082 .094", 0xEF2F4F, shade=0.205)
    pen.fill("O .137 .0 .016 .028", 0xFFFFFF, 0.65)


def lantern_before(pen: Pen) -> None:
    """A glowing lantern with a dark frame."""
    pen.glow(0.145, 0.165, 0.16, alpha=0.85)
    pen.line("M .112 .125 Q .145 .065 .178 .125", 0x3A3140, 0.010)
    pen.shape("M .105 .130 L .185 .130 L .192 .205 L .098 .205 Z", 0xFFE27A, lit=True)
    pen.fill("O .145 .170 .022 .030", 0xFFF9DC, lit=True)
    pen.shape(
        "M .112 .118 L .178 .118 L .190 .134 L .100 .134 Z M .094 .202 L .196 .202 L .190 .220 L .100 .220 Z",
        0x3A3140,
    )


def flowers_before(pen: Pen) -> None:
    """A bouquet in white paper."""
    pen.shape("O .082 .165 .034 .034 O .155 .165 .034 .034 O .118 .205 .04 .034", 0x3F9A57)
    pen.shape("M .068 .195 Q .118 .225 .168 .195 L .128 .315 L .108 .315 Z", 0xFFF8EA, shade=0.125)
    blooms = (
        (0.080, 0.140, 0xF25C9A),
        (0.120, 0.105, 0xFFD84D),
        (0.160, 0.140, 0xFF8FB7),
        (0.118, 0.160, 0xF25C9A),
        (0.088, 0.185, 0xFFD84D),
        (0.152, 0.186, 0xF25C9A),
    )
    for x, y, colour in blooms:
        pen.shape(f"O {x} {y} .027 .027", colour)
        pen.oval(x, y, 0.010, 0.010, 0xFFF6DC if colour != 0xFFD84D else 0xE88A2A)


def trumpet_before(pen: Pen) -> None:
    """A golden trumpet from the lips to the side."""
    pen.line("M .010 .158 L .140 .150", edge_of(0xF2BE3C), 0.018 + 2 * pen.key)
    pen.shape(
        "M .115 .141 C .145 .135 .160 .115 .172 .092 Q .190 .150 .176 .212 C .162 .185 .147 .165 .115 .161 Z",
        0xF2BE3C,
        shade=0.165,
    )
    pen.line("M .010 .158 L .140 .150", 0xF2BE3C, 0.018)
    pen.shape("M .050 .150 L .108 .147 Q .122 .165 .108 .184 L .056 .186 Q .040 .168 .050 .150 Z", 0xD9982A)
    for x in (0.062, 0.079, 0.096):
        pen.shape(f"M {x - 0.004} .128 L {x + 0.004} .128 L {x + 0.004} .150 L {x - 0.004} .150 Z", 0xFFE08A)


def hat_behind(pen: Pen) -> None:
    """The brim of a straw hat, pushed back, like a halo."""
    pen.shape("O 0 .048 .165 .060", 0xE3BE72)
    pen.fill("O 0 .056 .145 .046", 0xC79A50)


def hat_before(pen: Pen) -> None:
    """Its crown, with a teal ribbon."""
    pen.shape(
        "M -.078 .032 C -.082 -.02 -.066 -.056 0 -.058 C .066 -.056 .082 -.02 .078 .032 Q 0 .000 -.078 .032 Z",
        0xF2D48C,
        shade=0.035,
    )
    pen.fill("M -.078 .032 L -.080 .006 Q 0 -.028 .080 .006 L .078 .032 Q 0 .000 -.078 .032 Z", 0x1F7F86)


def parrot_before(pen: Pen) -> None:
    """A lime-green parrot with a blue wing."""
    pen.shape("M .104 .205 L .140 .205 L .152 .33 L .124 .33 Z", 0x2B74D9)
    pen.shape(
        "M .112 .050 C .155 .035 .172 .075 .166 .115 C .172 .165 .160 .225 .130 .228 C .098 .228 .086 "
        ".180 .092 .140 C .088 .10 .086 .062 .112 .050 Z",
        0x6CCB3C,
        shade=0.148,
    )
    pen.shape("M .128 .120 C .168 .125 .168 .185 .146 .222 C .122 .20 .112 .145 .128 .120 Z", 0x2B74D9)
    pen.shape("M .094 .070 C .066 .072 .066 .100 .080 .112 C .086 .100 .096 .098 .100 .096 Z", 0xFF9A2E)
    pen.fill("O .116 .078 .017 .017", 0xFFFFFF)
    pen.fill("O .112 .078 .009 .009", 0x1B1820)


PROPS_BEHIND: dict[str, Callable[[Pen], None]] = {
    "umbrella": umbrella_behind,
    "balloon": balloon_behind,
    "hat": hat_behind,
}
PROPS_BEFORE: dict[str, Callable[[Pen], None]] = {
    "umbrella": umbrella_before,
    "lantern": lantern_before,
    "flowers": flowers_before,
    "trumpet": trumpet_before,
    "hat": hat_before,
    "parrot": parrot_before,
}
