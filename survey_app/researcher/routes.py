"""The researcher's pages talk to these addresses: pictures, what comes next, and what was said of it.

Only pages of this very server are answered: another site's page carries another ``Origin``, or, where it has taken this
machine's address for its own name, another ``Host``. Whatever a request says
wrongly is answered with status 400 and one line; a disk that cannot be written to with 507, and nothing has changed.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dreamshot.errors import StudyError
from dreamshot.labels import Label, read_squares
from dreamshot.params import load_params
from dreamshot.paths import CROPS
from dreamshot.records import Pool
from survey_app.researcher import caption_desk as captions
from survey_app.researcher import label_desk as labels
from survey_app.researcher.caption_desk import CaptionDesk
from survey_app.researcher.clock import now
from survey_app.researcher.label_desk import LabelDesk, Look

LARGEST = 100_000  # bytes of a request
OWN_NAMES = ("localhost", "127.0.0.1", "::1")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@cache
def label_desk() -> LabelDesk:
    """The one desk of this server."""
    return labels.open_desk(load_params())


@cache
def caption_desk() -> CaptionDesk:
    """The one desk of this server for captions."""
    return captions.open_desk(load_params())


@cache
def crops() -> Pool:
    return Pool(CROPS / "shards")


@cache
def squares() -> dict[str, str]:
    return read_squares()


def text(said: dict[str, Any], key: str) -> str:
    """A value of a request that must be text."""
    value = said.get(key, "")
    if not isinstance(value, str):
        raise StudyError(f"{key} = {value!r} is not text")
    return value


def look_of(said: dict[str, Any]) -> Look:
    looks: dict[str, Look] = {"first": "first", "second": "second"}
    value = text(said, "look")
    if value not in looks:
        raise StudyError(f"look = {value!r} is neither first nor second")
    return looks[value]


def number(said: dict[str, Any], key: str) -> float:
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StudyError(f"{key} = {value!r} is not a number")
    return float(value)


# --- labels ---


def label_state(said: dict[str, Any]) -> dict[str, Any]:
    return label_desk().state(text(said, "who"), look_of(said))


def label_decide(said: dict[str, Any]) -> dict[str, Any]:
    desk, frame, look = label_desk(), text(said, "frame"), look_of(said)
    label = Label(
        frame=frame,
        shot_type=text(said, "shot_type"),
        who=text(said, "who"),
        time=now(),
        medium_close_up=said.get("medium_close_up") is True,
        reason=text(said, "reason"),
        seconds=round(number(said, "seconds"), 2),
        crop=text(said, "square"),
        file=desk.crops[frame].file if frame in desk.crops else "",
    )
    desk.decide(label)
    return desk.state(label.who, look)


def label_undo(said: dict[str, Any]) -> dict[str, Any]:
    desk, who, look = label_desk(), text(said, "who"), look_of(said)
    return desk.state(who, look, front=desk.undo(who))


# --- captions ---


def caption_state(said: dict[str, Any]) -> dict[str, Any]:
    return caption_desk().state()


def caption_check(said: dict[str, Any]) -> dict[str, Any]:
    return caption_desk().check(text(said, "frame"), text(said, "caption"))


def caption_save(said: dict[str, Any]) -> dict[str, Any]:
    return caption_desk().save(text(said, "who"), text(said, "frame"), text(said, "caption"))


def caption_replace(said: dict[str, Any]) -> dict[str, Any]:
    return caption_desk().replace(text(said, "who"), text(said, "find"), text(said, "by"))


def caption_undo(said: dict[str, Any]) -> dict[str, Any]:
    return caption_desk().undo(text(said, "who"))


# --- HTTP ---


def from_here(request: Request) -> bool:
    """Whether the request is for this machine by one of its own names, and from a page of this server."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    return urlsplit(f"//{host}").hostname in OWN_NAMES and (origin is None or urlsplit(origin).netloc == host)


async def read_json(request: Request) -> dict[str, Any]:
    """A request's body.

    Raises:
        StudyError: too large, or no JSON object.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise StudyError(f"the request is larger than {LARGEST} bytes")
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise StudyError("the request is no JSON object")
    return said


def answering(answer: Answer) -> Callable[[Request], Any]:
    """A route that answers a JSON object with another."""

    async def route(request: Request) -> Response:
        if not from_here(request):
            return JSONResponse({"error": "only this server's own pages may ask"}, 403)
        try:
            return JSONResponse(await run_in_threadpool(answer, await read_json(request)))
        except StudyError as error:
            return JSONResponse({"error": str(error)}, 400)
        except OSError as error:
            return JSONResponse({"error": f"not saved: {error.strerror or error}; make room and try again"}, 507)

    return route


async def crop_picture(request: Request) -> Response:
    """A crop as PNG; its address names its square, so it never changes."""
    frame, square = request.path_params["frame"], request.path_params["square"].replace("-", " ")
    if not from_here(request):
        return Response("only this server's own pages may ask", 403)
    if squares().get(frame) != square:
        return Response("no such crop", 404)
    content = await run_in_threadpool(lambda: crops().png(frame))
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=31536000, immutable"})


def post(path: str, answer: Answer) -> Route:
    return Route(path, answering(answer), methods=["POST"])


ROUTES = [
    Route("/desk/crops/{frame}/{square}.png", crop_picture),
    post("/desk/label/state", label_state),
    post("/desk/label/decide", label_decide),
    post("/desk/label/undo", label_undo),
    post("/desk/caption/state", caption_state),
    post("/desk/caption/check", caption_check),
    post("/desk/caption/save", caption_save),
    post("/desk/caption/replace", caption_replace),
    post("/desk/caption/undo", caption_undo),
]
