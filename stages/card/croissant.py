"""The metadata for machines: Croissant 1.1 as JSON-LD, with the vocabulary for responsible AI.

Files are named by their paths from the metadata's folder, as mlcroissant resolves them, and by their SHA-256.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from dreamshot import paths
from dreamshot.seeds import digest
from stages.card import text
from stages.card.facts import Records, last_day, licences
from stages.report import hand_words, hands
from stages.report.aggregates import shared_films

CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{
        word: f"cr:{word}"
        for word in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip
CITE = (
    "@misc{massaglia2024dreamshot, title={DreamShot: Teaching Cinema Shots to Latent Diffusion Models}, "
    "author={Massaglia, T. and Vacchetti, B. and Cerquitelli, T.}, year={2024}}"
)
# record set -> (table, its key, what a row is)
TABLES: dict[str, tuple[Path, tuple[str, ...], str]] = {
    "frames": (paths.FRAMES, ("frame",), "A still that ingest has kept."),
    "rejects": (paths.LEDGER, ("file",), "A file that ingest has rejected, and the rule that it broke."),
    "crops": (paths.CROP_ROWS, ("frame",), "The square that is cut from a frame."),
    "labels": (paths.LABEL_ROWS, ("frame", "who"), "What one person says of one crop."),
    "sets": (paths.SELECT_ROWS, ("frame",), "A frame in use, and the set that it belongs to."),
    "captions": (paths.CAPTION_ROWS, ("frame",), "What a training or test frame shows, in words."),
}
# What a column holds; where two tables differ, by "record set/column".
COLUMNS = {
    "frame": "The frame's id, from its film and its file's bytes.",
    "film": "The film's id, as the table of the stills names it.",
    "title": "The film's title, where it was given.",
    "year": "The film's year.",
    "file": "The file's path below the folder of stills.",
    "width": "Pixels, upright and without bars.",
    "height": "Pixels, upright and without bars.",
    "mode": "The file's own colour mode.",
    "dhash": "A 64-bit difference hash, in hexadecimal digits.",
    "licence": "The licence as it was given, empty where none was.",
    "source": "Where the still comes from, as it was given.",
    "rule": "The first rule that the file broke.",
    "value": "What was found.",
    "limit": "What the rule allows.",
    "x": "The square's left edge in the frame's pixels.",
    "y": "The square's upper edge in the frame's pixels.",
    "side": "The square's side in the frame's pixels.",
    "who": "The labeller's name, as chosen by themselves.",
    "labels/time": "When the label was given (ISO 8601, UTC), empty where it is not known.",
    "turn": "0 for the label that counts, 1, 2, ... for second looks.",
    "shot_type": "The shot type: close, medium or long.",
    "labels/shot_type": "close, medium, long, reject, or unknown where nothing is said.",
    "medium_close_up": "Whether the label is on the disputed border of close and medium.",
    "reason": "Why the crop was rejected.",
    "seconds": "From the crop's appearance to the decision.",
    "crop": "The square that was looked at: x, y, side.",
    "current": "Whether that is the frame's crop as it is now.",
    "split": "The set: train, test or probe.",
    "raw": "The captioner's words.",
    "reviewed": "A person's words, empty where there are none.",
    "editor": "Who wrote them.",
    "captions/time": "When they were written (ISO 8601, UTC), empty where it is not known.",
    "captioner": "The captioner, as source@revision.",
    "caption": "The caption that the study uses.",
    "flags": "What may be wrong with it, joined by commas.",
}


def from_here(path: Path) -> str:
    """A file's path from the metadata's folder."""
    return Path(os.path.relpath(path, paths.CARD)).as_posix()


def file_object(path: Path, name: str, encoding: str) -> dict[str, Any]:
    """A file with its hash and size."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": from_here(path),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def data_type(arrow: Any) -> str:
    """The Croissant type of a column."""
    import pyarrow as pa

    kinds = (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
    )
    return next((name for holds, name in kinds if holds(arrow)), "sc:Text")


def field(name: str, column: Any) -> dict[str, Any]:
    """A column of a table."""
    found = {
        "@type": "cr:Field",
        "@id": f"{name}/{column.name}",
        "name": column.name,
        "dataType": data_type(column.type),
        "source": {"fileObject": {"@id": f"{name}.parquet"}, "extract": {"column": column.name}},
    }
    meaning = COLUMNS.get(f"{name}/{column.name}") or COLUMNS.get(column.name)
    return found | ({"description": meaning} if meaning else {})


def record_set(name: str) -> dict[str, Any]:
    """A table's rows."""
    import pyarrow.parquet as pq

    path, key, meaning = TABLES[name]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": meaning,
        "key": [{"@id": f"{name}/{column}"} for column in key],
        "field": [field(name, column) for column in pq.read_schema(path)],
    }


def shards() -> list[Path]:
    """The tar files of the crops."""
    return sorted((paths.CROPS / "shards").glob("*.tar"))


def pictures() -> dict[str, Any]:
    """The crops as pictures, by frame."""
    names = {"fileSet": {"@id": "crop-files"}, "extract": {"fileProperty": "filename"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "The crops.",
        "key": {"@id": "pictures/frame"},
        "field": [
            {
                "@type": "cr:Field", "@id": "pictures/frame", "name": "frame", "dataType": "sc:Text",
                "description": COLUMNS["frame"], "source": names | {"transform": {"regex": r"^(.*)\.png$"}},
            },
            {
                "@type": "cr:Field", "@id": "pictures/picture", "name": "picture", "dataType": "sc:ImageObject",
                "description": "The crop's pixels.",
                "source": {"fileSet": {"@id": "crop-files"}, "extract": {"fileProperty": "content"}},
            },
        ],
    }  # fmt: skip


def distribution() -> list[dict[str, Any]]:
    """The tables, the tar files, and the pictures in them."""
    tables = [file_object(path, f"{name}.parquet", "application/x-parquet") for name, (path, _, _) in TABLES.items()]
    tars = [file_object(path, f"crops-{path.name}", "application/x-tar") for path in shards()]
    inside = {
        "@type": "cr:FileSet",
        "@id": "crop-files",
        "name": "crop-files",
        "description": "The crops, named by frame.",
        "containedIn": [{"@id": tar["@id"]} for tar in tars],
        "encodingFormat": "image/png",
        "includes": "*.png",
    }
    return [*tables, *tars, inside]


def responsible(records: Records) -> dict[str, Any]:
    """How the data came about, in the words of the vocabulary for responsible AI."""
    level = records.profile.score.confidence
    labels = hands.labels(records.labels, level)
    shared = hand_words.shared(shared_films(records.select))
    return {
        "rai:dataCollection": text.description(records),
        "rai:dataPreprocessingProtocol": [text.crop_sentence(records)],
        "rai:dataAnnotationProtocol": [hand_words.labels(labels), *text.simulation_sentences(records)],
        "rai:dataAnnotationAnalysis": [hand_words.second_look(labels, f"{100 * level:g}%")],
        "rai:machineAnnotationTools": sorted(records.captions["captioner"].unique()),
        "rai:dataLimitations": [text.licence_sentence(records), *([shared] if shared else [])],
        "rai:personalSensitiveInformation": [text.people_sentence(records)],
    }


def version(files: list[dict[str, Any]]) -> str:
    """A version that is another one as soon as a file is."""
    return "1.0.0+" + digest(*(file.get("sha256", "") for file in files))[:12]


def metadata(records: Records) -> dict[str, Any]:
    """The dataset as JSON-LD; a licence or a date that nobody gave is left out."""
    given = [licence for licence in licences(records) if licence]
    day, files = last_day(records), distribution()
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": text.title(records),
        "description": text.description(records),
        "citeAs": CITE,
        "version": version(files),
        "creator": {"@type": "sc:Organization", "name": "DreamShot"},
        **({"license": given} if given else {}),
        **({"datePublished": day} if day else {}),
        **responsible(records),
        "distribution": files,
        "recordSet": [*map(record_set, TABLES), pictures()],
    }


def check(path: Path) -> None:
    """Let mlcroissant read the metadata and find every file; what it finds wrong is a fault of this module.

    Raises:
        mlcroissant.ValidationError: with every fault.
    """
    import mlcroissant
    from absl import logging

    logging.set_verbosity(logging.ERROR)  # what is only recommended is left out on purpose
    mlcroissant.Dataset(jsonld=path)
