"""Have a model of the profile on this disk, and record which one it is.

    python -m stages.fetch [base | captioner | clip | dino | detector]

A local folder is hashed, a hub id downloaded; without a name all models are. Later stages depend on the records in
``data/models/``, each on those of the models that it uses: labelling needs no more than the detector. That one is
wanted only where ``crop.method`` says so; else its record is empty.
"""

import sys
from collections.abc import Sequence

from dreamshot.errors import StudyError, main
from dreamshot.models import ALL_MODELS, fetch, needed, write_model_record
from dreamshot.params import Profile, load_params

NONE = {"source": "", "revision": "", "sha256": ""}


def fetch_one(key: str, params: Profile) -> None:
    """Fetch and record one model, or record that it is not wanted."""
    if key not in needed(params):
        write_model_record(key, NONE)
        print(f"fetch: no {key} (crop.method is {params.crop.method})")
        return
    record = fetch(key, getattr(params.models, key))
    write_model_record(key, record)
    print(f"fetch: {key} is {record['source']} (sha256 {record['sha256'][:12]})")


def run(arguments: Sequence[str] = ()) -> None:
    params = load_params()
    for key in arguments or ALL_MODELS:
        if key not in ALL_MODELS:
            raise StudyError(f"argument {key!r}: no such model; one of {', '.join(ALL_MODELS)}")
        fetch_one(key, params)


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
