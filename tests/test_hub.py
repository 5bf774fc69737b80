"""What the paper profile takes from the hub is what it is said to be. Skipped where the hub is out of reach."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MODELS: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "params.yaml").read_text())["profiles"]["paper"]["models"]
PINNED = ("base", "captioner", "detector")

pytestmark = pytest.mark.hub


def from_hub(load: Any, key: str) -> Any:
    """What ``load`` gives for a model of the paper profile at its pinned revision."""
    from huggingface_hub import HfApi

    source, revision = MODELS[key]["source"], MODELS[key]["revision"]
    try:
        HfApi().model_info(source, revision=revision, timeout=5)
    except Exception as error:
        if type(error).__name__ in ("RepositoryNotFoundError", "RevisionNotFoundError"):
            raise
        pytest.skip(f"the hub is out of reach ({type(error).__name__})")
    return load(source, revision=revision)


@pytest.mark.parametrize("key", PINNED)
def test_a_pinned_revision_is_there_and_is_a_commit(key: str) -> None:
    from huggingface_hub import HfApi

    assert from_hub(HfApi().model_info, key).sha == MODELS[key]["revision"]


def test_the_captioner_knows_how_many_tokens_a_picture_is() -> None:
    from transformers import AutoProcessor, Blip2Config

    assert from_hub(AutoProcessor.from_pretrained, "captioner").num_query_tokens == 32
    assert from_hub(Blip2Config.from_pretrained, "captioner").image_token_index is not None


def test_the_detector_knows_people() -> None:
    from transformers import AutoConfig

    assert "person" in from_hub(AutoConfig.from_pretrained, "detector").id2label.values()
