"""Tiny encoders with random weights, of the real classes, in folders that the real calls load."""

import json
from pathlib import Path

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {},
}


def save_clip(folder: Path) -> Path:
    """An open_clip model with CLIP's own tokenizer, as ``local-dir:`` wants it."""
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = CLIP_CONFIG["model_cfg"]
    model = CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_dino(folder: Path) -> Path:
    """A timm ViT, as ``local-dir:`` wants it."""
    import timm
    import torch
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, embed_dim=24, depth=2, num_heads=2, num_classes=0, global_pool="token"
    )
    sizes = {"img_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 2}
    save_for_hf(model, folder, model_args=sizes, safe_serialization=True)
    return folder
