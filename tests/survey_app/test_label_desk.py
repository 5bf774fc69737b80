"""The labelling desk: what is shown next, to whom, and that every decision is in the log exactly once."""

import csv
import errno
from pathlib import Path
from typing import Any

import pytest

from dreamshot.errors import StudyError
from dreamshot.labels import Label, Seen, read_labels
from dreamshot.params import SHOT_TYPES, Profile, load_params
from survey_app.researcher import label_desk
from survey_app.researcher.label_desk import Crop, LabelDesk
from tests.stills import write_params

FILMS, EACH = 4, 5
CROPS = [Crop(f"f{film}{index}", f"film {film}", f"{film}-{index}.png", "0 0 64") for index in range(EACH)
         for film in range(FILMS)]  # fmt: skip
SEEN = Seen({crop.frame: crop.film for crop in CROPS}, {crop.file: crop.frame for crop in CROPS})


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.chdir(tmp_path)
    sizes = {"select__train": 2, "select__test": 1, "select__probe": 1, "select__max_per_film": 2}
    write_params(tmp_path, labels="labels", label__second_look=3, **sizes)
    return load_params()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def desk(params: Profile, clock: Clock | None = None) -> LabelDesk:
    folder = Path(params.labels)
    return LabelDesk(folder, CROPS, params, lambda: read_labels(folder, SEEN), clock or Clock())


def decide(at: LabelDesk, frame: str, shot_type: str, who: str = "anna", **more: Any) -> None:
    crop = at.crops[frame]
    at.decide(Label(frame, shot_type, who, label_desk.now(), seconds=1.0, crop=crop.square, file=crop.file, **more))


def queue(at: LabelDesk, who: str = "anna", look: Any = "first") -> list[str]:
    return [crop["frame"] for crop in at.state(who, look)["queue"]]


def log(who: str = "anna") -> list[dict[str, str]]:
    path = Path("labels") / f"log-{who}.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def test_the_order_gives_every_film_before_any_twice_and_hangs_on_the_seed(params: Profile) -> None:
    at = desk(params)
    shown = []
    for _ in range(8):
        shown.append(queue(at)[0])
        decide(at, shown[-1], "close", reason="")
    assert shown == [crop.frame for crop in CROPS[:8]]


def test_what_one_person_sees_is_not_shown_to_another_until_the_lease_ends(params: Profile) -> None:
    clock = Clock()
    at = desk(params, clock)
    first, second = queue(at, "anna"), queue(at, "ben")
    assert len(first) == len(second) == label_desk.AHEAD
    assert not set(first) & set(second)
    assert queue(at, "anna") == first
    clock.now = label_desk.LEASE + 1
    assert queue(at, "cleo") == first


def test_a_decision_is_written_once_however_often_it_is_sent(params: Profile) -> None:
    at = desk(params)
    for _ in range(3):
        decide(at, "f00", "medium", medium_close_up=True)
    (row,) = log()
    assert (row["frame"], row["file"], row["shot_type"]) == ("f00", "0-0.png", "medium")
    assert (row["medium_close_up"], row["seconds"], row["crop"]) == ("yes", "1.00", "0 0 64")
    with pytest.raises(StudyError, match="you have labelled it medium; undo that first"):
        decide(at, "f00", "long")
    assert len(log()) == 1


def test_undo_takes_back_one_after_the_other_and_shows_the_crop_again(params: Profile) -> None:
    at = desk(params)
    for frame, kind in (("f00", "close"), ("f10", "long")):
        decide(at, frame, kind)
    assert at.undo("anna") == "f10"
    assert at.state("anna", "first", front="f10")["queue"][0]["frame"] == "f10"
    assert at.undo("anna") == "f00"
    assert at.undo("anna") == ""
    decide(at, "f00", "medium")
    assert [row["shot_type"] for row in log()] == ["close", "long", "undo", "undo", "medium"]
    assert [label.shot_type for label in read_labels(Path("labels"), SEEN)] == ["medium"]


def test_a_new_desk_goes_on_where_the_last_one_was(params: Profile) -> None:
    at = desk(params)
    for frame in queue(at)[:3]:
        decide(at, frame, "close")
    again = desk(params)
    assert queue(again) == [crop.frame for crop in CROPS if crop.frame not in {row["frame"] for row in log()}][:6]
    assert again.state("anna", "first")["last"]["frame"] == log()[-1]["frame"]


def test_quotas_count_what_select_can_use(params: Profile) -> None:
    at = desk(params)
    for frame in ("f00", "f01", "f02"):
        decide(at, frame, "close")
    decide(at, "f10", "close")
    assert at.state("anna", "first")["quotas"][0] == {"type": "close", "have": 3, "need": 4}  # two of a film at most
    assert at.state("anna", "first")["queue"][0]["of_film"] == {"close": 0, "medium": 0, "long": 0}


def test_medium_close_ups_that_select_drops_fill_no_quota(params: Profile) -> None:
    at = desk(params)
    decide(at, "f00", "close", medium_close_up=True)
    assert at.state("anna", "first")["quotas"][0]["have"] == 1
    select = params.select.model_copy(update={"medium_close_ups": "drop"})
    dropping = desk(params.model_copy(update={"select": select}))
    assert dropping.state("anna", "first")["quotas"][0]["have"] == 0


def test_a_film_that_is_full_in_every_shot_type_still_wanted_is_passed_over(params: Profile) -> None:
    at = desk(params)
    for film in (1, 2):  # the quotas of medium and long, four each, are met by these two films
        for index, kind in enumerate(("medium", "medium", "long", "long")):
            decide(at, f"f{film}{index}", kind)
    decide(at, "f00", "close")
    assert "f01" in queue(at)
    decide(at, "f01", "close")
    assert not set(queue(at)) & {"f02", "f03", "f04"}
    for frame in ("f30", "f31"):
        decide(at, frame, "close")
    assert {"f02", "f03", "f04"} <= set(queue(at))  # all quotas are met: every film is shown again


def test_rejects_are_counted_for_nothing_and_need_a_reason(params: Profile) -> None:
    at = desk(params)
    decide(at, "f00", "reject", reason="nobody")
    assert [quota["have"] for quota in at.state("anna", "first")["quotas"]] == [0, 0, 0]
    for kind, reason in (("reject", ""), ("reject", "boring"), ("close", "nobody")):
        with pytest.raises(StudyError, match="reason"):
            decide(at, "f10", kind, reason=reason)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": "nope"}, "no such crop"),
        ({"crop": "1 0 64"}, "cropped anew; reload"),
        ({"shot_type": "wide"}, "shot_type 'wide' is not one of close, medium, long, reject"),
        ({"shot_type": "long", "medium_close_up": True}, "a long crop is no medium close-up"),
        ({"seconds": float("nan")}, "not a time"),
        ({"seconds": -1.0}, "not a time"),
        ({"who": "../anna"}, "small letters"),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_written(
    params: Profile, change: dict[str, Any], message: str
) -> None:
    good = {"frame": "f00", "shot_type": "close", "who": "anna", "seconds": 1.0, "crop": "0 0 64"}
    with pytest.raises(StudyError, match=message):
        desk(params).decide(Label(**(good | change)))
    assert log() == []


def test_a_second_look_shows_others_labels_crops_without_what_they_said(params: Profile) -> None:
    at = desk(params)
    for place, frame in enumerate(queue(at)):
        decide(at, frame, SHOT_TYPES[place % 3])
    assert queue(at, "anna", "second") == []
    looks = at.state("ben", "second")
    assert len(looks["queue"]) == 3
    assert all(set(crop) == {"frame", "square"} for crop in looks["queue"])
    assert looks["second"] == {"have": 0, "need": 3}
    decide(at, looks["queue"][0]["frame"], "long", "ben")
    again = at.state("ben", "second")
    assert again["second"] == {"have": 1, "need": 3}
    assert [crop["frame"] for crop in again["queue"]] == [crop["frame"] for crop in looks["queue"][1:]]
    assert {row["frame"] for row in log("ben")} <= {row["frame"] for row in log("anna")}


def test_two_desks_on_one_folder_see_each_others_labels(params: Profile) -> None:
    one, other = desk(params), desk(params)
    decide(one, "f00", "close")
    assert "f00" not in queue(other, "ben")
    decide(other, "f10", "long", "ben")
    assert "f10" not in queue(one)
    assert one.state("anna", "first")["mine"] == 1


def test_a_full_disk_changes_nothing_on_the_desk(params: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(params)
    decide(at, "f00", "close")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(label_desk, "append", full)
    with pytest.raises(OSError, match="No space"):
        decide(at, "f10", "close")
    assert at.state("anna", "first")["mine"] == 1
    assert queue(at)[0] == "f10"


def test_a_desk_needs_a_folder_for_its_logs(params: Profile, tmp_path: Path) -> None:
    write_params(tmp_path, labels="labels.csv")
    with pytest.raises(StudyError, match=r"labels = 'labels.csv' names a file"):
        label_desk.open_desk(load_params())
