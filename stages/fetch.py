"""Have every model of the profile on this disk before any work is done, and record which ones they are.

    python -m stages.fetch

Local folders are hashed; hub ids are downloaded. Later stages depend on the records in ``data/models/``. A detector is
wanted only where ``crop.method`` says so; else its record is empty, and the crop does not hang on one.
"""

from dreamshot.errors import main
from dreamshot.models import fetch, needed, write_model_record
from dreamshot.params import load_params

NONE = {"source": "", "revision": "", "sha256": ""}


def run() -> None:
    params = load_params()
    keys = needed(params)
    for key in keys:
        record = fetch(key, getattr(params.models, key))
        write_model_record(key, record)
        print(f"fetch: {key} is {record['source']} (sha256 {record['sha256'][:12]})")
    if "detector" not in keys:
        write_model_record("detector", NONE)
        print(f"fetch: no detector (crop.method is {params.crop.method})")


if __name__ == "__main__":
    main(run)
