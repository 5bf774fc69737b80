"""Prior preservation: class pictures are the untouched base's own, drawn once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamshot.errors import StudyError
from dreamshot.models import load_base, model_hash
from dreamshot.params import Profile, ShotType
from dreamshot.paths import WORK
from dreamshot.records import picture_hash
from dreamshot.seeds import picture_seed
from stages import artist
from stages.artist import Artist, Manner, Picture, Request, artist_for
from stages.train import __main__ as stage
from stages.train import prior
from stages.train.data import Data, read_data
from tests.tiny_models import PICTURE_SIZE
from tests.tiny_runs import alone, content
from tests.tiny_study import write_params

PROMPT = "a picture of a person"
MANNER = Manner("DPM++ SDE Karras", 2, 3.0, PICTURE_SIZE, slab=2)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call to the artist asks for."""
    counts: list[int] = []
    draw = Artist.draw

    def counted(self: Artist, requests: list[Request]) -> list[Picture]:
        counts.append(len(requests))
        return draw(self, requests)

    monkeypatch.setattr(Artist, "draw", counted)
    return counts


def with_class(pictures: int, weight: float = 0.5, **train: Any) -> Profile:
    settings = {"weight": weight, "pictures": pictures, "prompt": PROMPT}
    return write_params(train={"prior": settings, **train})


def data_of(params: Profile, shot_type: ShotType = "close") -> Data:
    """The data of a shot type with its class pictures."""

    def load() -> Any:
        return load_base(params.models.base)

    return prior.with_prior(read_data(params, shot_type), load, params, shot_type, model_hash("base"), alone())


def pixels_of(data: Data) -> list[np.ndarray]:
    return [data.pixels[item.picture]() for item in data.prior]


def test_without_class_pictures_the_base_is_not_even_loaded(study: Path) -> None:
    params = with_class(0, weight=0.0)
    data = read_data(params, "close")
    found = prior.with_prior(data, lambda: pytest.fail("loaded"), params, "close", "", alone())
    assert found is data


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_class_pictures_are_those_that_the_base_alone_draws(study: Path, dtype: Any) -> None:
    params = with_class(3, dtype=dtype)
    data = data_of(params)
    base = artist_for(load_base(params.models.base), MANNER, dtype, "float32")
    requests = [Request(PROMPT, picture_seed(params.seed, "class", PROMPT, str(number))) for number in range(3)]
    expected = [picture.pixels for picture in base.draw(requests)]
    assert all(np.array_equal(one, other) for one, other in zip(pixels_of(data), expected, strict=True))
    assert [item.picture for item in data.prior] == [picture_hash(pixels) for pixels in expected]
    assert {item.prompt for item in data.prior} == {PROMPT}
    assert len({item.picture for item in data.prior}) == 3


def test_a_second_run_and_another_method_draw_none(study: Path, drawn: list[int]) -> None:
    first = data_of(with_class(4))
    assert drawn == [2, 2]
    for train in ({}, {"steps": 9}, {"method": "dreambooth"}, {"rank": 3}):
        assert data_of(with_class(4, weight=2.0, **train)).prior == first.prior
    assert data_of(with_class(4), "long").prior == first.prior
    assert drawn == [2, 2]


def test_more_class_pictures_keep_the_first(study: Path, drawn: list[int]) -> None:
    few, more = data_of(with_class(2)), data_of(with_class(5))
    assert more.prior[:2] == few.prior
    assert drawn == [2, 2, 1]


def test_another_way_of_drawing_draws_them_anew(study: Path) -> None:
    found = [data_of(with_class(1)), data_of(with_class(1, dtype="bfloat16"))]
    drawing = {"sampler": "Euler", "steps": 2, "guidance": 3.0, "batch": 2}
    found.append(data_of(with_class(1, drawing=drawing)))
    assert len({item.picture for data in found for item in data.prior}) == 3


def test_a_prompt_with_the_shot_type_gives_each_its_own(study: Path) -> None:
    params = write_params(train={"prior": {"weight": 1.0, "pictures": 1, "prompt": "a [shot_type] of a man"}})
    close, long = data_of(params), data_of(params, "long")
    assert (close.prior[0].prompt, long.prior[0].prompt) == ("a close_shot of a man", "a long_shot of a man")
    assert close.prior[0].picture != long.prior[0].picture


def test_killed_while_drawing_it_loses_at_most_a_batch(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels_of(data_of(with_class(5)))
    for path in WORK.glob("class/*/*"):
        path.unlink()
    draw, calls = Artist.draw, []

    def killed(self: Artist, requests: list[Request]) -> list[Picture]:
        calls.append(len(requests))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(self, requests)

    monkeypatch.setattr(Artist, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        data_of(with_class(5))
    assert len(list(WORK.glob("class/*/*.png"))) == 2
    again = pixels_of(data_of(with_class(5)))
    assert calls == [2, 2, 2, 1]
    assert all(np.array_equal(one, other) for one, other in zip(again, whole, strict=True))


def test_a_class_picture_that_shows_nothing_is_named(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artist, "failure_of", lambda *_: "black")
    with pytest.raises(StudyError, match=r"train.prior: a class picture of 'a picture of a person' came out black"):
        data_of(with_class(1))


def test_class_pictures_are_counted_and_change_what_is_learnt(study: Path) -> None:
    found = []
    for count, weight in ((0, 0.0), (2, 0.5), (2, 1.0)):
        with_class(count, weight, steps=2)
        stage.run(["close"])
        found.append(content(Path("data/tuned/close")))
    assert len({files["pytorch_lora_weights.safetensors"] for files in found}) == 3
    assert [b'"class_pictures": 2' in files["run.json"] for files in found] == [False, True, True]
    assert "| class pictures | 2, weight 0.5 |" in found[1]["README.md"].decode()
    assert "| class pictures | none |" in found[0]["README.md"].decode()
