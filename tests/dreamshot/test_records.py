import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dreamshot.errors import StudyError
from dreamshot.records import SHARD_SIZE, Pool, picture_hash, read_table, write_shards, write_table
from dreamshot.seeds import digest, frame_id, pair_id, picture_id, seed


def picture(number: int, side: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def file_bytes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_equal_rows_give_equal_bytes_whatever_their_order(tmp_path):
    rows = pd.DataFrame({"id": ["b", "a", "c"], "value": [2.0, 1.0, 3.0]})
    write_table(rows, tmp_path / "one.parquet", by="id")
    write_table(rows.iloc[[2, 0, 1]], tmp_path / "two.parquet", by="id")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert list(read_table(tmp_path / "one.parquet")["id"]) == ["a", "b", "c"]


def test_a_missing_table_is_named_with_the_remedy(tmp_path):
    with pytest.raises(StudyError, match=r"crops\.parquet: no such table; run"):
        read_table(tmp_path / "crops.parquet")


def test_shards_give_back_the_pixels_and_have_stable_bytes(tmp_path):
    items = [(f"{number:05d}", picture(number)) for number in range(SHARD_SIZE + 3)]
    write_shards(iter(items), tmp_path / "one")
    write_shards(iter(items), tmp_path / "two")
    assert file_bytes(tmp_path / "one") == file_bytes(tmp_path / "two")
    pool = Pool(tmp_path / "one")
    assert len(pool) == len(items)
    assert sorted(file_bytes(tmp_path / "one")) == ["00000.tar", "00001.tar"]
    for key, pixels in items[:3] + items[-3:]:
        assert np.array_equal(pool.pixels(key), pixels)


def test_a_pool_names_what_is_missing(tmp_path):
    with pytest.raises(StudyError, match="no picture shards"):
        Pool(tmp_path)
    write_shards([("a", picture(1))], tmp_path)
    with pytest.raises(StudyError, match="no picture 'b'"):
        Pool(tmp_path).pixels("b")


def test_a_picture_hash_tells_shape_and_every_pixel():
    pixels = picture(1)
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert picture_hash(pixels) == picture_hash(np.asfortranarray(pixels))
    assert picture_hash(pixels) != picture_hash(changed)
    assert picture_hash(pixels) != picture_hash(pixels.reshape(4, 16, 3))


def test_ids_come_from_content_and_not_from_names():
    assert frame_id("film", b"bytes") == frame_id("film", b"bytes")
    assert frame_id("film", b"bytes") != frame_id("other", b"bytes")
    assert frame_id("ab", b"c") != frame_id("a", b"bc")
    assert (
        len({pair_id("main", "close", "f", 0), pair_id("main", "close", "f", 1), pair_id("main", "long", "f", 0)}) == 3
    )
    assert picture_id("p", "ours", 0.5) == "p-ours-0.50"


def test_seeds_are_stable_and_named():
    assert seed(1, "noise", "p") == seed(1, "noise", "p")
    assert seed(1, "noise", "p") != seed(2, "noise", "p")
    assert 0 <= seed(1, "x") < 2**63
    payload = (1).to_bytes(8, "little") + b"1" + (1).to_bytes(8, "little") + b"x"
    assert digest(1, "x") == hashlib.sha256(payload).hexdigest()
