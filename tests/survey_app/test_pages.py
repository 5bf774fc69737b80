"""The pages in a real browser, by keyboard: what was decided is in the files, whatever happened on the way."""

import csv
from pathlib import Path
from typing import Any

import pytest

from dreamshot.captions import Reviewed, read_reviewed
from dreamshot.labels import REASONS, read_labels, read_seen
from tests.pages import CHROMIUM, browsing, serving, write_pages_study

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here"),
]
DECISIONS = ["1", "2", "3", "f2", "x1", "3", "f1", "x4", "2", "1"]  # keys of one crop
PAGES = ("-m", "survey_app.researcher", "--port={port}")
SAID = {"1": "close", "2": "medium", "3": "long", "x": "reject"}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_pages_study()
    return tmp_path


def frame_on(page: Any, selector: str = ".crop") -> str:
    """The frame that is on the screen, once its picture is there."""
    page.wait_for_selector(f"{selector}[data-frame]")
    return str(page.get_attribute(selector, "data-frame"))


def wait_for_next(page: Any, before: str) -> None:
    page.wait_for_selector(f'.crop:not([data-frame="{before}"])')


def meant(keys: str) -> tuple[str, bool, str]:
    """(shot type, medium close-up, reason) that the keys say."""
    reason = REASONS[int(keys[1]) - 1] if keys[0] == "x" else ""
    return SAID["x" if reason else keys[-1]], keys[0] == "f", reason


def decide(page: Any, keys: str) -> tuple[str, tuple[str, bool, str]]:
    frame = frame_on(page)
    for key in keys:
        page.keyboard.press(key)
    wait_for_next(page, frame)
    return frame, meant(keys)


def undo(page: Any, frame: str) -> None:
    page.keyboard.press("z")
    page.wait_for_selector(f'.crop[data-frame="{frame}"]')


def test_thirty_crops_are_labelled_by_keyboard_and_the_log_holds_exactly_those_decisions(study: Path) -> None:
    said: dict[str, tuple[str, bool, str]] = {}
    rows = []
    with serving(study, *PAGES) as server, browsing() as page:
        page.goto(server.address)
        page.get_by_label("Name").fill("anna")
        page.keyboard.press("Enter")
        for count in range(30):
            if count in (7, 8, 20):  # the last one was wrong
                wrong = list(said)[-1]
                undo(page, wrong)
                del said[wrong]
                rows.append((wrong, "undo"))
            if count == 12:
                page.reload()
            if count == 18:
                server.kill()
                page.keyboard.press("1")
                page.get_by_text("nothing was saved").wait_for()
                server.start()
                page.reload()
            frame, meaning = decide(page, DECISIONS[count % 10])
            said[frame] = meaning
            rows.append((frame, meaning[0]))
        while len(said) < 30:
            frame, meaning = decide(page, "2")
            said[frame] = meaning
            rows.append((frame, meaning[0]))
    labels = read_labels(Path("data/labels/demo"), read_seen())
    assert {label.frame: (label.shot_type, label.medium_close_up, label.reason) for label in labels} == said
    written = list(csv.DictReader(Path("data/labels/demo/log-anna.csv").read_text().splitlines()))
    assert [(row["frame"], row["shot_type"]) for row in written] == rows
    assert all(float(row["seconds"]) > 0 for row in written if row["shot_type"] != "undo")


def test_ten_captions_are_reviewed_by_keyboard(study: Path) -> None:
    expected: dict[str, tuple[str, str]] = {}
    with serving(study, *PAGES) as server, browsing() as page:
        page.goto(f"{server.address}/captions?who=ben")
        for count in range(10):
            frame, text = frame_on(page), page.input_value(".edit")
            assert page.inner_text(".raw") == text
            caption = text if count % 3 == 0 else f"{text} on stage"
            page.fill(".edit", caption)
            page.keyboard.press("Control+Enter")
            wait_for_next(page, frame)
            expected[frame] = (text, caption)
            if count == 4:
                page.reload()
        page.keyboard.press("Alt+z")  # the last one was wrong
        last = list(expected)[-1]
        page.wait_for_selector(f'.crop[data-frame="{last}"]')
        page.fill(".edit", "an unsaved text")
        page.keyboard.press("Alt+ArrowRight")
        page.get_by_text("Your text is not saved").wait_for()
        assert frame_on(page) == last
        page.keyboard.press("Escape")
        assert page.input_value(".edit") == page.inner_text(".raw")
        page.fill(".edit", "a close-up of a man a man")
        page.get_by_text("repeats itself").wait_for()
        page.keyboard.press("Control+Enter")
        wait_for_next(page, last)
        expected[last] = (expected[last][0], "a close-up of a man a man")
        page.fill(".find", "a close-up of")
        page.get_by_text("in 1 of 33 captions").wait_for()
        page.fill(".by", "the face of")
        page.keyboard.press("Enter")
        page.get_by_text("Replaced in 1 caption").wait_for()
        expected[last] = (expected[last][0], "the face of a man a man")
        assert page.inner_text(".place") == "10 of 33 reviewed"
    found = read_reviewed(Path("captions.csv"), read_seen().films)
    assert {frame: (row.raw, row.caption) for frame, row in found.items()} == expected
    assert all(row.editor == "ben" and row.time for row in found.values())
    assert isinstance(found[last], Reviewed)


def test_a_second_person_sees_the_agreement(study: Path) -> None:
    with serving(study, *PAGES) as server, browsing() as page:
        page.goto(f"{server.address}/agreement")
        page.get_by_text("Nobody has looked twice yet").wait_for()
        page.goto(f"{server.address}/?who=anna")
        first = dict(decide(page, keys) for keys in ("1", "2", "3", "1"))
        page.goto(f"{server.address}/?who=ben&look=second")
        keys = {kind: key for key, kind in SAID.items()}
        for count in range(4):
            page.keyboard.press(keys[first[frame_on(page)][0]])
            page.get_by_text(f"{count + 1} labelled").wait_for()
        page.goto(f"{server.address}/agreement")
        page.get_by_text("4 of 4").wait_for()
        assert page.get_by_text("1.00", exact=True).is_visible()


def test_a_crop_whose_picture_does_not_load_cannot_be_labelled(study: Path) -> None:
    log = Path("data/labels/demo/log-anna.csv")
    with serving(study, *PAGES) as server, browsing() as page:
        page.route("**/desk/crops/**", lambda route: route.abort())
        page.goto(f"{server.address}/?who=anna")
        page.get_by_text("does not load").wait_for()
        for key in "12x1":
            page.keyboard.press(key)
        page.wait_for_timeout(500)
        assert not log.exists()
        page.unroute("**/desk/crops/**")
        page.reload()
        frame, _ = decide(page, "2")
    assert [row["frame"] for row in csv.DictReader(log.read_text().splitlines())] == [frame]
