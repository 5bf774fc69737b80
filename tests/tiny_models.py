"""Tiny random models of the real classes, in real folders: what a stage's test loads in place of the study's weights.

They draw noise and write nonsense; what the tests check with them (bits, shapes, resume, files) does not depend on
what a model has learned. ``write_base``, ``write_captioner`` and ``write_detector`` are cheap (below half a
second each) and deterministic: the same arguments, the same bytes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

WORDS = (
    "a", "an", "in", "on", "of", "with", "and", "the", "picture", "high", "quality", "close", "medium",
    "long", "shot", "man", "woman", "person", "holding", "wearing", "street", "room", "forest", "beach",
    "red", "blue", "green", "black", "white", "coat", "dress", "hat", "dog", "cup", "book", "at", "night",
    "by", "day",
)  # fmt: skip
PICTURE_SIZE = 16


def clip_tokenizer(words: Iterable[str] = WORDS, max_length: int = 77) -> Any:
    """A ``CLIPTokenizer``: the 256 bytes, then merges that make each word one token."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate(alphabet + [f"{letter}</w>" for letter in alphabet])}
    merges: list[tuple[str, str]] = []
    for word in words:
        letters = [*word[:-1], f"{word[-1]}</w>"]
        for end in range(1, len(letters)):
            pair = ("".join(letters[:end]), letters[end])
            merged = "".join(pair)
            if merged not in vocab:
                vocab[merged] = len(vocab)
                merges.append(pair)
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocab[token] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=max_length)


def text_encoder(tokenizer: Any, width: int = 16) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def vae(latent_channels: int = 4, shift_factor: float | None = None) -> Any:
    """An ``AutoencoderKL`` that halves the side once (f2)."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, latent_channels=latent_channels,
        norm_num_groups=4, sample_size=PICTURE_SIZE, scaling_factor=0.7, shift_factor=shift_factor,
    )  # fmt: skip


def unet(latent_channels: int = 4, width: int = 16) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=PICTURE_SIZE // 2, in_channels=latent_channels, out_channels=latent_channels,
        block_out_channels=(16, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, cross_attention_dim=width,
        attention_head_dim=2, norm_num_groups=8,
    )  # fmt: skip


def base_pipeline(prediction_type: str = "epsilon", shift_factor: float | None = None, seed: int = 0) -> Any:
    """A ``StableDiffusionPipeline`` for 16 x 16 pictures with random weights."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = clip_tokenizer()
        return StableDiffusionPipeline(
            vae=vae(shift_factor=shift_factor), unet=unet(), tokenizer=tokenizer, text_encoder=text_encoder(tokenizer),
            scheduler=PNDMScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                skip_prk_steps=True, prediction_type=prediction_type,
            ),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip


def write_base(folder: Path, **settings: Any) -> Path:
    """Save ``base_pipeline(**settings)`` in ``folder``, in safetensors, and return the folder."""
    base_pipeline(**settings).save_pretrained(folder, safe_serialization=True)
    return folder


def word_tokenizer(words: Iterable[str] = WORDS) -> Any:
    """A word-level tokenizer with T5's special tokens and BLIP-2's <image>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "</s>", "<unk>", "<image>", *words]
    tokenizer: Any = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip


def blip2_config(vocabulary: int, queries: int, width: int = 16) -> Any:
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, T5Config

    return Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=width, intermediate_size=width, num_hidden_layers=1, num_attention_heads=2,
            image_size=PICTURE_SIZE, patch_size=8,
        ),
        qformer_config=Blip2QFormerConfig(
            vocab_size=vocabulary, hidden_size=width, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=width, cross_attention_frequency=1, encoder_hidden_size=width,
        ),
        text_config=T5Config(
            vocab_size=vocabulary, d_model=width, d_kv=8, d_ff=width, num_layers=1, num_heads=2,
            bos_token_id=1, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        ),
        num_query_tokens=queries, image_token_index=3,
    )  # fmt: skip


def captioner(queries: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """(``Blip2Processor``, ``Blip2ForConditionalGeneration``), with weights large enough that pictures tell apart."""
    import torch
    from transformers import Blip2ForConditionalGeneration, Blip2Processor, BlipImageProcessor

    tokenizer = word_tokenizer()
    side = {"height": PICTURE_SIZE, "width": PICTURE_SIZE}
    processor = Blip2Processor(BlipImageProcessor(size=side), tokenizer, num_query_tokens=queries)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Blip2ForConditionalGeneration(blip2_config(len(tokenizer), queries))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(std=0.5)
    return processor, model.eval()


def write_captioner(folder: Path, **settings: Any) -> Path:
    """Save ``captioner(**settings)`` in ``folder`` and return the folder."""
    processor, model = captioner(**settings)
    processor.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def detector(classes: Iterable[str] = ("Person", "Head"), seed: int = 0) -> tuple[Any, Any]:
    """(``YolosImageProcessor``, ``YolosForObjectDetection``), whose four boxes hang on the picture."""
    import torch
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    names = dict(enumerate(classes))
    config = YolosConfig(
        hidden_size=PICTURE_SIZE, intermediate_size=PICTURE_SIZE, num_hidden_layers=1, num_attention_heads=2,
        image_size=[PICTURE_SIZE, PICTURE_SIZE], patch_size=8, num_detection_tokens=4,
        use_mid_position_embeddings=False,
        id2label=names, label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = YolosForObjectDetection(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(std=0.5)
    return YolosImageProcessor(size={"height": PICTURE_SIZE, "width": PICTURE_SIZE}), model.eval()


def write_detector(folder: Path, **settings: Any) -> Path:
    """Save ``detector(**settings)`` in ``folder`` and return the folder."""
    processor, model = detector(**settings)
    processor.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=True)
    return folder
