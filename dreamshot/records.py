"""Tables as parquet and pools of pictures as tar shards, written so that equal content has equal bytes."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dreamshot.errors import StudyError

SHARD_SIZE = 1000


def write_table(rows: pd.DataFrame, path: Path, by: str | list[str]) -> None:
    """Write ``rows`` as parquet, sorted by ``by`` and without metadata, by one atomic rename."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = rows.sort_values(by, kind="stable").reset_index(drop=True)
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(table, part, compression="zstd")
    part.replace(path)


def read_table(path: Path) -> pd.DataFrame:
    """Read a parquet table; a missing one names the stage's output that is not there."""
    if not path.is_file():
        raise StudyError(f"{path}: no such table; run `dvc repro`, or the stage that writes {path.parent}")
    return pd.read_parquet(path)


def picture_hash(pixels: np.ndarray) -> str:
    """SHA-256 (hex) of a picture's shape and RGB bytes: files differ between systems, pixels do not."""
    found = hashlib.sha256(str(pixels.shape).encode())
    found.update(np.ascontiguousarray(pixels).reshape(-1).data)
    return found.hexdigest()


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encode (height, width, 3) uint8 RGB as PNG without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def write_shards(items: Iterable[tuple[str, np.ndarray]], folder: Path) -> None:
    """Write (id, pixels) pairs as PNG into ``folder/00000.tar``, ..., 1,000 a shard, in the given order."""
    write_png_shards(((key, png_bytes(pixels)) for key, pixels in items), folder)


def write_png_shards(items: Iterable[tuple[str, bytes]], folder: Path) -> None:
    """The same for pictures that are encoded already."""
    folder.mkdir(parents=True, exist_ok=True)
    rest = iter(items)
    for number in count():
        first = next(rest, None)
        if first is None:
            return
        with tarfile.open(folder / f"{number:05d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            for key, data in chain([first], islice(rest, SHARD_SIZE - 1)):
                member = tarfile.TarInfo(f"{key}.png")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))


class Pool:
    """Pictures by id from a folder of tar shards; the index is read once, the pixels when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._where: dict[str, tuple[Path, int, int]] = {}
        shards = sorted(folder.glob("*.tar"))
        if not shards:
            raise StudyError(f"{folder}: no picture shards; run `dvc repro`, or the stage that writes it")
        for path in shards:
            with tarfile.open(path) as tar:
                for member in tar:
                    self._where[member.name.removesuffix(".png")] = (path, member.offset_data, member.size)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def png(self, key: str) -> bytes:
        """The picture's file, as it lies in its shard."""
        if key not in self._where:
            raise StudyError(f"{self.folder}: no picture {key!r}; run the stage that writes it again")
        path, offset, size = self._where[key]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def image(self, key: str) -> Image.Image:
        """The picture as an RGB PIL image."""
        return Image.open(io.BytesIO(self.png(key))).convert("RGB")

    def pixels(self, key: str) -> np.ndarray:
        """The picture as (height, width, 3) uint8 RGB."""
        return np.asarray(self.image(key))


def copy_shards(pool: Pool, keys: Iterable[str], folder: Path) -> None:
    """Write pictures of a pool into shards in the given order, without decoding them."""
    write_png_shards(((key, pool.png(key)) for key in keys), folder)
