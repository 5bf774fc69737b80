"""Have every model of the profile on this disk before any work is done, and record which ones they are.

    python -m stages.fetch

Local folders are hashed; hub ids are downloaded. Later stages depend on the records in ``data/models/``.
"""

from dreamshot.errors import main
from dreamshot.models import MODEL_NAMES, fetch, write_model_record
from dreamshot.params import load_params


def run() -> None:
    models = load_params().models
    for key in MODEL_NAMES:
        record = fetch(key, getattr(models, key))
        write_model_record(key, record)
        print(f"fetch: {key} is {record['source']} (sha256 {record['sha256'][:12]})")


if __name__ == "__main__":
    main(run)
