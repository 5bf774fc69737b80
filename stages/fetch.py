"""Have every model of the profile on this disk before any work is done, and record which ones they are.

    python -m stages.fetch

Local folders are hashed; hub ids are downloaded. Later stages depend on the records in ``data/models/``.
"""

from tqdm import tqdm

from dreamshot.errors import main
from dreamshot.models import MODEL_NAMES, fetch, write_model_record
from dreamshot.params import load_params


def run() -> None:
    models = load_params().models
    for key in tqdm(MODEL_NAMES, desc="fetch", unit="model"):
        write_model_record(key, fetch(key, getattr(models, key)))
    print(f"fetch: {len(MODEL_NAMES)} models are here")


if __name__ == "__main__":
    main(run)
