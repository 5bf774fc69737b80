"""What was learnt, written and read again: its scaling, its names, its strengths, to the formula and to the bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, safe_open, save_file

from dreamshot.errors import StudyError
from dreamshot.models import load_base
from dreamshot.params import Method, Train, Weights
from dreamshot.paths import LORA_FILE
from stages.diffusion import cast, encode_prompts
from stages.tuning import Tuning, full, inversion, lora, tuner
from tests.tiny_models import base_pipeline
from tests.tiny_runs import content
from tests.tiny_study import write_params

TEXT_ENCODER = {"train": True, "learning_rate": 0.01}
TRANSFORMER = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
RESIDUAL = ["conv_in", "conv1", "conv2", "conv_shortcut", "conv", "conv_out", "time_emb_proj", "linear_1", "linear_2"]
PROMPT = "a high-quality close_shot picture of a dog"
TWICE = "a close_shot of a man in a close_shot"
KOHYA = "dreamshot_close.safetensors"
STRENGTHS = [0.0, 0.3, 1.0, 1.7]
METHODS: list[Method] = ["lora", "dreambooth", "textual_inversion"]


def settings(**train: Any) -> Train:
    return write_params(train={"text_encoder": TEXT_ENCODER, **train}).train


def base(dtype: Any = "float32") -> Any:
    """The base as a stage loads it."""
    pipeline = base_pipeline()
    for network in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        network.eval().requires_grad_(False)
    cast(pipeline.unet, dtype)
    return pipeline


def learnt(params: Train, dtype: Any = "float32", seed: int = 0) -> Any:
    """A pipeline in which every weight that learns has moved."""
    pipeline = base(dtype)
    weights = tuner(params.method).begin(pipeline, "close", params, 3)
    assert all(weight.requires_grad and weight.dtype == torch.float32 for weight in weights.values())
    for number, weight in enumerate(weights.values()):
        weight.data += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed + number))
    return pipeline


def predicted(pipeline: Any, rows: int = 1, text: torch.Tensor | None = None) -> torch.Tensor:
    """What the UNet says of ``rows`` equal inputs, float32."""
    dtype = pipeline.unet.conv_in.weight.dtype
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).expand(rows, -1, -1, -1)
    words = torch.ones(1, 77, 16) if text is None else text
    with torch.inference_mode():
        found = pipeline.unet(x.to(dtype), torch.tensor(500.0), words.expand(rows, -1, -1).to(dtype)).sample
    return found.float()


def embedded(pipeline: Any, prompt: str = PROMPT) -> torch.Tensor:
    return encode_prompts(pipeline, [prompt])[prompt]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


# --- LoRA: files ---


def test_a_lora_begins_as_nothing_and_its_a_hangs_on_the_seed_alone(study: Path) -> None:
    plain = predicted(base())
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(found))
        pipeline = base()
        weights = lora.begin(pipeline, "close", settings(), seed)
        assert torch.equal(predicted(pipeline), plain)
        assert not any(weight.any() for name, weight in weights.items() if "lora_B" in name)
        found.append({name: weight.detach().clone() for name, weight in weights.items() if "lora_A" in name})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not any(torch.equal(found[0][name], found[2][name]) for name in found[0])
    assert float(torch.cat([a.flatten() for a in found[0].values()]).std()) == pytest.approx(1 / 2, rel=0.1)


@pytest.mark.parametrize("file", [LORA_FILE, KOHYA])
def test_diffusers_loads_either_file_with_its_scaling(study: Path, file: str) -> None:
    params = settings()
    trained = learnt(params)
    picture, text = predicted(trained), embedded(trained)
    lora.save(trained, "close", params, study)
    loaded = base()
    assert apart(predicted(loaded), picture) > 0.01
    assert apart(embedded(loaded), text) > 0.01
    loaded.load_lora_weights(study, weight_name=file)
    assert apart(predicted(loaded), picture) < 1e-5
    assert apart(embedded(loaded), text) < 1e-5
    assert {layer.scaling[name] for _, layer in lora.layers(loaded.unet) for name in layer.scaling} == {4.0 / 2}


def merged_by_hand(file: Path) -> Any:
    """The base with W + up @ down x alpha / dim, each key looked up by the names that kohya's trainer gives layers."""
    pipeline, tensors = base(), load_file(file)
    named = {f"lora_unet_{name.replace('.', '_')}": module for name, module in pipeline.unet.named_modules()}
    for name, module in pipeline.text_encoder.named_modules():
        named[f"lora_te_text_model_{name.removeprefix('text_model.').replace('.', '_')}"] = module
    for key in sorted({name.split(".")[0] for name in tensors}):
        down, up = tensors.pop(f"{key}.lora_down.weight"), tensors.pop(f"{key}.lora_up.weight")
        change = up.flatten(1) @ down.flatten(1) * (tensors.pop(f"{key}.alpha") / len(down))
        named[key].weight.data += change.reshape(named[key].weight.shape)
    assert not tensors
    return pipeline


@pytest.mark.parametrize("targets", [["to_k", "to_q", "to_v", "to_out.0"], TRANSFORMER, [*RESIDUAL, *TRANSFORMER]])
def test_a_kohya_file_merged_by_hand_predicts_what_was_trained(study: Path, targets: list[str]) -> None:
    params = settings(targets=targets, rank=3, lora_alpha=1.5)
    trained = learnt(params)
    picture, text = predicted(trained), embedded(trained)
    lora.save(trained, "close", params, study)
    merged = merged_by_hand(study / KOHYA)
    assert apart(predicted(merged), picture) < 1e-5
    assert apart(embedded(merged), text) < 1e-5
    assert apart(predicted(base()), picture) > 0.01


def kohya_layers(unet: Any, targets: list[str]) -> set[str]:
    return {
        lora.kohya_name("unet", name)
        for name, _ in unet.named_modules()
        if any(name.endswith(f".{target}") for target in targets)
    }


def test_layers_are_named_as_kohya_s_trainer_names_those_of_stable_diffusion(study: Path) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768)  # what is left out is Stable Diffusion 1.5's
    attention = kohya_layers(unet, ["to_k", "to_q", "to_v", "to_out.0"])
    places = [f"down_blocks_{block}_attentions_{layer}" for block in range(3) for layer in range(2)]
    places += ["mid_block_attentions_0"]
    places += [f"up_blocks_{block}_attentions_{layer}" for block in range(1, 4) for layer in range(3)]
    assert attention == {
        f"lora_unet_{place}_transformer_blocks_0_{attn}_{half}"
        for place in places
        for attn in ("attn1", "attn2")
        for half in ("to_q", "to_k", "to_v", "to_out_0")
    }
    assert len(attention) == 128
    assert len(kohya_layers(unet, TRANSFORMER)) == 192  # "create LoRA for U-Net: 192 modules"


def test_a_kohya_file_has_the_published_keys_with_a_true_alpha_each(study: Path) -> None:
    params = settings()
    lora.save(learnt(params), "close", params, study)
    tensors = load_file(study / KOHYA)
    layers = {key.split(".")[0] for key in tensors}
    assert {key.split(".", 1)[1] for key in tensors} == {"alpha", "lora_down.weight", "lora_up.weight"}
    assert len(tensors) == 3 * len(layers)
    assert "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k" in layers
    assert {layer for layer in layers if layer.startswith("lora_te_")} == {
        f"lora_te_text_model_encoder_layers_0_self_attn_{half}" for half in ("q_proj", "k_proj", "v_proj", "out_proj")
    }
    assert {float(tensors[f"{layer}.alpha"]) for layer in layers} == {4.0}
    assert {len(tensors[f"{layer}.lora_down.weight"]) for layer in layers} == {2}
    with safe_open(study / KOHYA, framework="pt") as file:
        told = file.metadata()
    assert (told["ss_network_dim"], told["ss_network_alpha"]) == ("2", "4.0")


def test_the_text_encoder_s_names_in_the_diffusers_file_are_those_that_every_version_reads(study: Path) -> None:
    params = settings()
    lora.save(learnt(params), "close", params, study)
    text = {key for key in load_file(study / LORA_FILE) if key.startswith("text_encoder.")}
    assert text
    assert all(key.startswith("text_encoder.text_model.encoder.layers.0.self_attn.") for key in text)


def test_without_a_text_encoder_s_lora_the_files_speak_of_the_unet_alone(study: Path) -> None:
    params = settings(text_encoder={"train": False, "learning_rate": 1.0})
    pipeline = learnt(params)
    lora.save(pipeline, "close", params, study)
    assert all(key.startswith("unet.") for key in load_file(study / LORA_FILE))
    assert all(key.startswith("lora_unet_") for key in load_file(study / KOHYA))


def without_alpha(path: Path) -> None:
    """A file of diffusers that says nothing of its configuration."""
    save_file(load_file(path), path, metadata={"format": "pt"})


def with_half_alpha(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        told = dict(file.metadata())
    config = json.loads(told["lora_adapter_metadata"])
    config["unet.lora_alpha"] /= 2
    save_file(load_file(path), path, metadata={**told, "lora_adapter_metadata": json.dumps(config)})


def with_kohya_s_own_alpha(path: Path) -> None:
    """The default of kohya's trainer, 1."""
    tensors = load_file(path)
    save_file({key: torch.tensor(1.0) if key.endswith(".alpha") else tensors[key] for key in tensors}, path)


def with_a_weight_changed(path: Path) -> None:
    tensors = load_file(path)
    key = max(key for key in tensors if tensors[key].ndim == 2)
    tensors[key][0, 0] += 0.01
    save_file(tensors, path)


def without_a_layer(path: Path) -> None:
    tensors = load_file(path)
    layer = min(tensors).split(".")[0]
    save_file({key: value for key, value in tensors.items() if not key.startswith(f"{layer}.")}, path)


WRONG: dict[str, tuple[str, Callable[[Path], None]]] = {
    "diffusers, no alpha": ("save_diffusers", without_alpha),
    "diffusers, half the alpha": ("save_diffusers", with_half_alpha),
    "kohya, its own default alpha": ("save_kohya", with_kohya_s_own_alpha),
    "kohya, another weight": ("save_kohya", with_a_weight_changed),
    "kohya, a layer less": ("save_kohya", without_a_layer),
}


@pytest.mark.parametrize("small", [1.0, 1e-5])
@pytest.mark.parametrize("kind", WRONG)
def test_a_file_that_does_not_give_back_what_was_trained_is_noticed(
    study: Path, monkeypatch: pytest.MonkeyPatch, kind: str, small: float
) -> None:
    """Also where training has hardly begun, and every change is tiny."""
    name, spoil = WRONG[kind]
    write = getattr(lora, name)

    def wrong(*arguments: Any) -> Path:
        path: Path = write(*arguments)
        spoil(path)
        return path

    monkeypatch.setattr(lora, name, wrong)
    params = settings()
    pipeline = learnt(params)
    for _, layer in [*lora.layers(pipeline.unet), *lora.layers(pipeline.text_encoder)]:
        layer.lora_B["default"].weight.data *= small
    with pytest.raises(RuntimeError, match=r"safetensors: loaded again, \d+ of \d+ layers differ, as "):
        lora.save(pipeline, "close", params, study)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_lora_of_a_base_in_half_precision_is_written_in_float32_and_passes(study: Path, dtype: str) -> None:
    params = settings()
    trained = learnt(params, dtype)
    weights = {f"{name}.{half}": getattr(layer, half)["default"].weight.detach().clone()
               for name, layer in lora.layers(trained.unet) for half in ("lora_A", "lora_B")}  # fmt: skip
    lora.save(trained, "close", params, study)
    tensors = load_file(study / KOHYA)
    for key, weight in weights.items():
        name, half = key.rsplit(".", 1)
        kept = tensors[f"{lora.kohya_name('unet', name)}.{'lora_down' if half == 'lora_A' else 'lora_up'}.weight"]
        assert torch.equal(kept, weight)


def test_equal_loras_have_equal_bytes_whatever_order_the_library_writes(study: Path) -> None:
    params = settings()
    files = []
    for number in range(4):
        folder = study / str(number)
        folder.mkdir()
        lora.save(learnt(params), "close", params, folder)
        files.append([(folder / name).read_bytes() for name in (LORA_FILE, KOHYA)])
    assert all(pair == files[0] for pair in files)
    with safe_open(study / "0" / LORA_FILE, framework="pt") as file:
        told = json.loads(file.metadata()["lora_adapter_metadata"])
    assert told["unet.lora_alpha"] == told["text_encoder.lora_alpha"] == 4.0
    assert told["unet.target_modules"] == sorted(params.targets)


@pytest.mark.parametrize("method", METHODS)
def test_the_files_say_nothing_of_where_the_base_lay(study: Path, method: Method) -> None:
    text = {**TEXT_ENCODER, "train": method != "textual_inversion"}
    params = settings(method=method, text_encoder=text)
    found = []
    for place in ("here", "there"):
        base_pipeline().save_pretrained(study / place, safe_serialization=True)
        pipeline = load_base(Weights(source=str(study / place), revision=""))
        tuner(method).begin(pipeline, "close", params, 3)
        folder = study / f"from {place}"
        folder.mkdir()
        tuner(method).save(pipeline, "close", params, folder)
        found.append(content(folder))
        assert not any(str(study / place).encode() in data for data in found[-1].values())
    assert found[0] == found[1]


def test_a_header_in_sorted_order_leaves_the_tensors_as_they_are(study: Path) -> None:
    path = study / "file.safetensors"
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(1, dtype=torch.float16)}
    save_file(tensors, path, {"z": "1", "y": "ü"})
    lora.sort_header(path)
    assert all(torch.equal(load_file(path)[name], tensor) for name, tensor in tensors.items())
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"z": "1", "y": "ü"}


# --- strengths ---


def kept(params: Train, folder: Path) -> Path:
    """Where something learnt is written."""
    tuner(params.method).save(learnt(params), "close", params, folder)
    return folder


def put(params: Train, pipeline: Any, folder: Path) -> Tuning:
    return tuner(params.method).load(pipeline, "close", folder)


def test_rows_of_one_call_have_the_strengths_that_set_adapters_gives_one_by_one(study: Path) -> None:
    params = settings(targets=TRANSFORMER)
    kept(params, study)
    ours, theirs = base(), base()
    adapter = put(params, ours, study)
    adapter.at(STRENGTHS)
    rows = predicted(ours, rows=len(STRENGTHS))
    theirs.load_lora_weights(study, weight_name=LORA_FILE, adapter_name="close")
    for strength, row in zip(STRENGTHS, rows, strict=True):
        theirs.set_adapters("close", strength)
        assert apart(row, predicted(theirs, rows=len(STRENGTHS))[0]) < 1e-5
        adapter.at([strength])
        assert apart(embedded(ours), embedded(theirs)) < 1e-5
    assert apart(rows[0], rows[2]) > 0.01


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("method", METHODS)
def test_at_strength_0_it_is_the_base_to_the_bit_and_at_1_what_was_trained(
    study: Path, method: Method, dtype: str
) -> None:
    params = settings(method=method, text_encoder={**TEXT_ENCODER, "train": method != "textual_inversion"})
    trained = learnt(params)
    trained_text, trained_picture = embedded(trained), predicted(trained)
    tuner(method).save(trained, "close", params, study)
    pipeline, plain = base(dtype), base(dtype)
    tuning = put(params, pipeline, study)
    for strength in (0.0, 1.0, 0.5, 0.0):
        tuning.at([strength])
        text, picture = embedded(pipeline), predicted(pipeline)
        if strength == 0:
            assert torch.equal(text, embedded(plain))
            assert torch.equal(picture, predicted(plain))
        if strength == 1:
            assert apart(text, trained_text) < 1e-5
            assert apart(picture, trained_picture) < (1e-5 if dtype == "float32" else 0.1)
        if strength == 0.5:
            assert apart(text, embedded(plain)) > 1e-3
    assert tuning.text


@pytest.mark.parametrize("method", METHODS)
def test_removed_it_leaves_the_base_to_the_bit(study: Path, method: Method) -> None:
    params = settings(method=method, text_encoder={**TEXT_ENCODER, "train": method != "textual_inversion"})
    kept(params, study)
    pipeline, plain = base(), base()
    for _ in range(2):  # and it can be put in again
        tuning = put(params, pipeline, study)
        tuning.at([0.7])
        assert not torch.equal(embedded(pipeline), embedded(plain))
        tuning.remove()
        assert torch.equal(embedded(pipeline), embedded(plain))
        assert torch.equal(predicted(pipeline), predicted(plain))


def test_a_lora_takes_the_dtype_of_the_networks_and_learns_no_more(study: Path) -> None:
    params = settings()
    kept(params, study)
    pipeline = base("bfloat16")
    put(params, pipeline, study)
    weights = [weight for _, layer in lora.layers(pipeline.unet) for weight in layer.lora_A.parameters()]
    assert {weight.dtype for weight in weights} == {torch.bfloat16}
    assert not any(weight.requires_grad for weight in pipeline.unet.parameters())
    assert {weight.dtype for weight in pipeline.text_encoder.parameters()} == {torch.float32}


def test_text_changes_only_where_the_text_encoder_has_learnt(study: Path) -> None:
    for method in ("lora", "dreambooth"):
        params = settings(method=method, text_encoder={"train": False, "learning_rate": 1.0})
        (study / method).mkdir()
        kept(params, study / method)
        pipeline = base()
        tuning = put(params, pipeline, study / method)
        tuning.at([1.0])
        assert not tuning.text
        assert torch.equal(embedded(pipeline), embedded(base()))
        assert apart(predicted(pipeline), predicted(base())) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_the_base_is_named(study: Path, method: Method) -> None:
    params = settings(method=method, text_encoder={"train": False, "learning_rate": 1.0})
    kept(params, study)
    other = base()
    other.unet = UNet2DConditionModel.from_config({**other.unet.config, "block_out_channels": (16, 48)})
    other.text_encoder.resize_token_embeddings(len(other.tokenizer))
    other.text_encoder.embeddings.token_embedding = torch.nn.Embedding(len(other.tokenizer), 8)
    with pytest.raises(StudyError, match=r"fit the base.*; run `python -m stages.train close`"):
        put(params, other, study)


# --- in full ---


def test_in_full_w_is_w0_plus_s_dw_for_any_strengths_in_any_order(study: Path) -> None:
    params = settings(method="dreambooth")
    trained = learnt(params)
    w0, w1 = ({n: w.detach().clone() for n, w in one.unet.named_parameters()} for one in (base(), trained))
    full.save(trained, "close", params, study)
    pipeline = base()
    tuning = full.load(pipeline, "close", study)
    for strength in (0.5, 1.0, 0.0, 0.3, 2.0, 1.0, 0.3, 0.0):
        tuning.at([strength] * 3)
        for name, weight in pipeline.unet.named_parameters():
            exact = w0[name].double() + strength * (w1[name].double() - w0[name].double())
            assert torch.allclose(weight.double(), exact, rtol=1e-6, atol=1e-7)
            if strength in (0, 1):
                assert torch.equal(weight, w1[name] if strength else w0[name])


def test_in_half_precision_a_strength_is_rounded_once_and_never_drifts(study: Path) -> None:
    params = settings(method="dreambooth")
    kept(params, study)
    w1 = UNet2DConditionModel.from_pretrained(study / "unet").state_dict()
    pipeline = base("bfloat16")
    w0 = {name: weight.detach().clone() for name, weight in pipeline.unet.named_parameters()}
    tuning = full.load(pipeline, "close", study)
    for _ in range(3):
        for strength in (0.3, 0.9, 0.3):
            tuning.at([strength])
        for name, weight in pipeline.unet.named_parameters():
            assert torch.equal(weight, torch.lerp(w0[name].float(), w1[name], 0.3).to(torch.bfloat16))


def test_in_full_diffusers_and_transformers_load_the_folders(study: Path) -> None:
    from transformers import CLIPTextModel

    params = settings(method="dreambooth")
    trained = learnt(params)
    picture, text = predicted(trained), embedded(trained)
    full.save(trained, "close", params, study)
    loaded = base()
    loaded.unet = UNet2DConditionModel.from_pretrained(study, subfolder="unet").eval()
    loaded.text_encoder = CLIPTextModel.from_pretrained(study, subfolder="text_encoder").eval()
    assert apart(predicted(loaded), picture) < 1e-5  # the networks' memory formats differ
    assert apart(embedded(loaded), text) < 1e-5
    for part in ("unet", "text_encoder"):
        read, kept_weights = getattr(loaded, part).state_dict(), getattr(trained, part).state_dict()
        assert all(torch.equal(read[name], kept_weights[name]) for name in read)


def test_in_full_all_rows_of_a_call_have_one_strength(study: Path) -> None:
    params = settings(method="dreambooth")
    kept(params, study)
    tuning = full.load(base(), "close", study)
    assert not tuning.mixed
    with pytest.raises(ValueError, match="unpack"):
        tuning.at([0.0, 1.0])


# --- textual inversion ---


def words(**train: Any) -> Train:
    return settings(method="textual_inversion", text_encoder={"train": False, "learning_rate": 1.0}, **train)


def test_the_words_begin_as_their_own_vectors_and_change_nothing(study: Path) -> None:
    pipeline = base()
    weights = inversion.begin(pipeline, "close", words(), 0)
    ids = pipeline.tokenizer("close_shot", add_special_tokens=False).input_ids
    table = pipeline.text_encoder.get_input_embeddings().weight
    assert list(weights) == ["text_encoder.words"]
    assert torch.equal(weights["text_encoder.words"], table[ids])
    for prompt in (PROMPT, TWICE, "", "a dog"):
        assert torch.equal(embedded(pipeline, prompt), embedded(base(), prompt))


def test_diffusers_own_textual_inversion_gives_the_same_embedding_at_strength_1(study: Path) -> None:
    params = words()
    kept(params, study)
    ours, theirs = base(), base()
    tuning = inversion.load(ours, "close", study)
    tuning.at([1.0])
    word = inversion.token("close")
    theirs.load_textual_inversion(study, weight_name="dreamshot_close_words.safetensors", token=word)
    for prompt in (PROMPT, TWICE, "close_shot", "a dog, close_shot"):
        with torch.inference_mode():
            found = theirs.encode_prompt(prompt.replace("close_shot", word), "cpu", 1, False)[0]
        assert apart(embedded(ours, prompt), found) < 1e-6
        assert apart(embedded(base(), prompt), found) > 1e-3


def test_prompts_without_the_words_keep_the_base_s_embedding_to_the_bit(study: Path) -> None:
    params = words()
    kept(params, study)
    pipeline = base()
    inversion.load(pipeline, "close", study).at([1.0])
    for prompt in ("", "a dog", "a long_shot of a dog", "a close _ dog shot", "a shot_close"):
        assert torch.equal(embedded(pipeline, prompt), embedded(base(), prompt))


def test_words_that_stand_twice_are_replaced_twice(study: Path) -> None:
    params = words()
    kept(params, study)
    pipeline = base()
    tuning = inversion.load(pipeline, "close", study)
    tuning.at([1.0])
    ids = torch.tensor(pipeline.tokenizer(TWICE).input_ids).unsqueeze(0)
    with torch.inference_mode():
        found = pipeline.text_encoder.get_input_embeddings()(ids)[0]
    own = load_file(study / "dreamshot_close_words.safetensors")[inversion.token("close")]
    tokens = pipeline.tokenizer.convert_ids_to_tokens(ids[0].tolist())
    table = base().text_encoder.get_input_embeddings().weight
    starts = [place for place in range(len(tokens)) if tokens[place : place + 3] == ["close</w>", "_</w>", "shot</w>"]]
    assert len(starts) == 2
    expected = table[ids[0]].clone()
    for start in starts:
        expected[start : start + 3] = own
    assert torch.equal(found, expected)


def test_the_rows_of_a_call_may_have_strengths_of_their_own(study: Path) -> None:
    params = words()
    kept(params, study)
    pipeline = base()
    tuning = inversion.load(pipeline, "close", study)
    ids = torch.tensor(pipeline.tokenizer(PROMPT).input_ids).unsqueeze(0)
    embed = pipeline.text_encoder.get_input_embeddings()
    with torch.inference_mode():
        tuning.at(STRENGTHS)
        rows = embed(ids.expand(len(STRENGTHS), -1))
        for strength, row in zip(STRENGTHS, rows, strict=True):
            tuning.at([strength])
            assert torch.equal(embed(ids)[0], row)
    assert torch.allclose(rows[1] - rows[0], 0.3 * (rows[2] - rows[0]), atol=1e-6)


def test_a1111_s_embedding_is_one_tensor_of_a_row_for_each_token(study: Path) -> None:
    params = words()
    kept(params, study)
    ((name, vectors),) = load_file(study / "dreamshot_close_words.safetensors").items()
    assert name == "<dreamshot-close>"
    assert vectors.shape == (3, 16)
    assert vectors.dtype == torch.float32
