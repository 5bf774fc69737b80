"""The addresses that the pages talk to: pictures, answers, and a clear no to whatever is wrong."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dreamshot.paths import CROPS
from dreamshot.records import Pool
from survey_app.researcher import label_desk, routes
from tests.pages import write_pages_study

LOG = Path("data/labels/demo/log-anna.csv")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    write_pages_study(train=2)
    desks = (routes.label_desk, routes.caption_desk, routes.crops, routes.squares)
    for desk in desks:
        desk.cache_clear()
    with TestClient(Starlette(routes=routes.ROUTES), base_url="http://localhost:8501") as found:
        yield found
    for desk in desks:
        desk.cache_clear()


def first_crop(client: TestClient) -> dict[str, Any]:
    crop: dict[str, Any] = client.post("/desk/label/state", json={"who": "anna", "look": "first"}).json()["queue"][0]
    return crop


def decision(client: TestClient, **changes: Any) -> dict[str, Any]:
    crop = first_crop(client)
    said = {"who": "anna", "look": "first", "frame": crop["frame"], "square": crop["square"]}
    return said | {"shot_type": "close", "reason": "", "medium_close_up": False, "seconds": 1.5} | changes


def test_a_decision_is_on_the_disk_when_it_is_answered(client: TestClient) -> None:
    said = decision(client)
    answer = client.post("/desk/label/decide", json=said)
    assert answer.status_code == 200
    assert answer.json()["last"]["frame"] == said["frame"]
    assert said["frame"] in LOG.read_text()
    assert (
        client.post("/desk/label/undo", json={"who": "anna", "look": "first"}).json()["queue"][0]["frame"]
        == (said["frame"])
    )


def test_a_crop_is_served_as_it_lies_in_its_shard_and_may_be_kept(client: TestClient) -> None:
    crop = first_crop(client)
    answer = client.get(f"/desk/crops/{crop['frame']}/{crop['square'].replace(' ', '-')}.png")
    assert answer.content == Pool(CROPS / "shards").png(crop["frame"])
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("frame", ["nope", "..", "%2e%2e%2fparams", "a%00b", "x" * 5000])
def test_a_crop_that_is_none_is_not_found(client: TestClient, frame: str) -> None:
    assert client.get(f"/desk/crops/{frame}/0-0-64.png").status_code == 404


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": "nope"}, "no such crop"),
        ({"square": "9 9 9"}, "cropped anew"),
        ({"shot_type": "wide"}, "not one of close"),
        ({"shot_type": ["close"]}, "is not text"),
        ({"seconds": "1"}, "is not a number"),
        ({"seconds": True}, "is not a number"),
        ({"seconds": 1e300}, "not a time"),
        ({"who": "../../x"}, "small letters"),
        ({"who": ""}, "small letters"),
        ({"look": "third"}, "neither first nor second"),
        ({"reason": "=cmd()"}, "reason '=cmd\\(\\)'"),
    ],
)
def test_a_wrong_decision_is_refused_in_one_line_and_nothing_is_written(
    client: TestClient, changes: dict[str, Any], message: str
) -> None:
    answer = client.post("/desk/label/decide", json=decision(client, **changes))
    assert answer.status_code == 400
    (line,) = answer.json()["error"].splitlines()
    assert re.search(message, line)
    assert not LOG.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"who": "' + b"a" * 200_000 + b'"}'])
@pytest.mark.parametrize("path", ["/desk/label/decide", "/desk/caption/save"])
def test_a_body_that_is_no_request_is_refused(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 400
    assert "the request is" in answer.json()["error"]


def test_another_sites_page_may_not_write(client: TestClient) -> None:
    said = decision(client)
    answer = client.post("/desk/label/decide", json=said, headers={"origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    assert not LOG.exists()
    assert client.post("/desk/label/decide", json=said, headers={"origin": "http://localhost:8501"}).status_code == 200


def test_a_site_that_has_taken_this_machines_address_for_its_name_is_not_answered(client: TestClient) -> None:
    crop = first_crop(client)
    taken = {"host": "elsewhere.example:8501", "origin": "http://elsewhere.example:8501"}
    assert client.post("/desk/label/decide", json=decision(client), headers=taken).status_code == 403
    assert client.get(f"/desk/crops/{crop['frame']}/4-0-64.png", headers=taken).status_code == 403
    assert not LOG.exists()


def test_a_crop_that_was_cut_elsewhere_is_not_found_under_its_old_address(client: TestClient) -> None:
    crop = first_crop(client)
    assert client.get(f"/desk/crops/{crop['frame']}/4-0-64.png").status_code == 200
    assert client.get(f"/desk/crops/{crop['frame']}/5-0-64.png").status_code == 404


def test_a_full_disk_is_told_and_nothing_is_lost(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    said = decision(client)
    with monkeypatch.context() as patch:
        patch.setattr(label_desk, "append", full)
        answer = client.post("/desk/label/decide", json=said)
    assert answer.status_code == 507
    assert answer.json()["error"] == "not saved: No space left on device; make room and try again"
    assert client.post("/desk/label/decide", json=said).status_code == 200


def test_captions_are_saved_checked_replaced_and_taken_back(client: TestClient) -> None:
    rows = client.post("/desk/caption/state", json={"who": "anna"}).json()["rows"]
    assert len(rows) == 6
    about = {"who": "anna", "frame": rows[0]["frame"]}
    assert client.post("/desk/caption/check", json=about | {"caption": ""}).json()["flags"] == ["empty"]
    (saved,) = client.post("/desk/caption/save", json=about | {"caption": "a dog"}).json()["rows"]
    assert (saved["caption"], saved["reviewed"]) == ("a dog", True)
    (replaced,) = client.post("/desk/caption/replace", json=about | {"find": "dog", "by": "cat"}).json()["rows"]
    assert replaced["caption"] == "a cat"
    assert client.post("/desk/caption/undo", json=about).json()["rows"][0]["caption"] == "a dog"
    assert "a dog" in Path("captions.csv").read_text()
    assert client.post("/desk/caption/save", json={"who": "anna", "frame": "x", "caption": "y"}).status_code == 400


def test_errors_are_json_that_a_page_can_show(client: TestClient) -> None:
    answer = client.post("/desk/label/state", json={"who": "A B", "look": "first"})
    assert json.loads(answer.text)["error"].startswith("name 'A B'")
