"""The benchmarks of speed compare like with like: the plain way trains and draws the same."""

import re

import numpy as np
import pytest
import torch

from benchmarks import generate, study, train
from dreamshot.params import SHOT_TYPES
from dreamshot.paths import CAPTION_ROWS, CROPS
from dreamshot.records import Pool, read_table


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch):
    """The number of threads stays what it was."""
    monkeypatch.setenv("DREAMSHOT_THREADS", "1")
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def test_a_study_has_stills_of_its_size_with_captions() -> None:
    with study.study("demo", study.ROOT / "demo/models/base", 64, 2, {"train": {"steps": 3}}) as params:
        rows, pool = read_table(CAPTION_ROWS), Pool(CROPS / "shards")
        assert params.train.steps == 3
        assert params.generate.size == 64
        counts = rows.groupby(["split", "shot_type"]).size()
        assert dict(counts) == {(split, kind): 2 for split in ("train", "test") for kind in SHOT_TYPES}
        assert {pool.pixels(frame).shape for frame in rows["frame"]} == {(64, 64, 3)}
        assert rows["caption"].str.len().min() > 10
        assert not set(rows.loc[rows["split"] == "train", "film"]) & set(rows.loc[rows["split"] == "test", "film"])


def test_the_plain_loop_has_the_same_losses(threads, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["--steps", "1", "--batch", "2", "--dtype", "float32"])
    found = re.search(r"losses at most ([\d.]+)% apart", capsys.readouterr().out)
    assert found is not None
    assert float(found.group(1)) < 0.02


def test_the_plain_way_draws_the_same_pictures(threads, capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--pairs", "1", "--steps", "3", "--dtype", "float32"])
    found = re.search(r" (\d+) pictures .* PSNR +([\d.]+|inf) dB", capsys.readouterr().out)
    assert found is not None
    assert found.group(1) == "6"
    assert float(found.group(2)) > 50


def test_psnr_by_its_formula() -> None:
    ours = {"a": np.full((2, 2, 3), 10, np.uint8), "b": np.full((2, 2, 3), 20, np.uint8)}
    theirs = {"a": np.full((2, 2, 3), 13, np.uint8), "b": np.full((2, 2, 3), 16, np.uint8)}
    assert generate.psnr(ours, theirs) == (pytest.approx(10 * np.log10(255**2 / 12.5)), 4)
    assert generate.psnr(ours, ours) == (np.inf, 0)


def test_the_first_step_is_not_counted() -> None:
    times = iter([0.0, 6.0])
    calls: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.time, "perf_counter", lambda: next(times))
        assert train.timed(lambda: calls.append(1), 3) == 2.0
    assert len(calls) == 4
