"""Measure the tiny models on frames of films they never saw: ``python -m demo.measure`` prints a Markdown table.

Each measuring function takes the frames of the training films (a bank to look up in; nothing is fitted) and the
frames of the unseen films, loads its model as the study does, and returns rows of (model, what, figure).
"""

import warnings
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from demo.data import Frames
    from demo.wide import Wide

SEED = 2024
MODELS = Path("demo/models")
GROUP = 64  # captions among which CLIP picks
NEIGHBOURS = 10
BANK, ASKED = 8000, 2000
ATTRIBUTES = ("who", "hair", "garment", "place", "prop")
PROMPT = "a high-quality close_shot picture of "
DRAWING_PROMPT = "a high-quality picture of "
RECONSTRUCTED, DRAWN = 256, 160  # pictures

Row = tuple[str, str, str]


def picks(pictures: np.ndarray, texts: np.ndarray, captions: Sequence[str], group: int = GROUP) -> float:
    """The share of pictures that pick their own caption among those of ``group`` pictures.

    Args:
        pictures, texts: (n, width) unit vectors, row by row of the same frame; what is left over after the
            last whole group is not used.
        captions: (n) the texts; picking the same words of another frame is right too.
    """
    right: list[bool] = []
    for start in range(0, len(captions) - group + 1, group):
        inside = slice(start, start + group)
        best = (pictures[inside] @ texts[inside].T).argmax(1)
        right += [captions[start + int(column)] == captions[start + row] for row, column in enumerate(best)]
    return float(np.mean(right)) if right else float("nan")


def knn(bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """(queries) the label with the largest sum of cosines among the nearest ``neighbours`` of the bank.

    Args:
        bank, queries: (n, width) and (m, width) unit vectors.
        labels: (n) the bank's labels.
    """
    names, codes = np.unique(labels, return_inverse=True)
    cosines = queries @ bank.T
    neighbours = min(neighbours, len(bank))
    nearest = np.argpartition(-cosines, neighbours - 1, axis=1)[:, :neighbours]
    votes = np.zeros((len(queries), len(names)))
    for column in nearest.T:
        rows = np.arange(len(queries))
        np.add.at(votes, (rows, codes[column]), 1 + cosines[rows, column])
    return np.asarray(names[votes.argmax(1)])


def knn_share(bank: np.ndarray, labels: np.ndarray, queries: np.ndarray, truth: np.ndarray) -> float:
    """The share of queries whose k-NN label is the true one."""
    return float((knn(bank, labels, queries) == truth).mean())


def attribute_shares(said: Sequence[str], truth: Sequence[dict[Hashable, str]]) -> dict[str, float]:
    """For each attribute the share of captions that state it as it is; a missing or garbled one is wrong."""
    from demo.world import parse_caption

    stated = [parse_caption(text) for text in said]
    return {
        key: float(np.mean([found.get(key) == true[key] for found, true in zip(stated, truth, strict=True)]))
        for key in ATTRIBUTES
    }


def some(frames: "Frames", count: int) -> np.ndarray:
    """The row numbers of at most ``count`` frames, drawn at random, the same each time."""
    return np.random.default_rng(SEED).permutation(len(frames.pixels))[:count]


def captions_of(frames: "Frames", rows: np.ndarray) -> list[str]:
    """The captions of some frames."""
    captions = frames.captions
    return [captions[row] for row in rows]


def pil_batches(frames: "Frames", rows: np.ndarray, size: int = 128) -> Any:
    """Lists of at most ``size`` PIL pictures."""
    from PIL import Image

    for start in range(0, len(rows), size):
        yield [Image.fromarray(frames.pixels[row]) for row in rows[start : start + size]]


def clip_features(folder: Path, frames: "Frames", rows: np.ndarray, prompts: Sequence[str]) -> list[np.ndarray]:
    """Unit vectors of the pictures, then of their captions behind each prompt: (n, width) each."""
    import torch

    from dreamshot.models import device, load_clip
    from dreamshot.params import ClipWeights

    model, preprocess, tokenizer = load_clip(ClipWeights(source=str(folder), revision="", name="dreamshot-tiny"))
    with torch.no_grad():
        seen = [
            model.encode_image(torch.stack([preprocess(image) for image in images]).to(device()), normalize=True)
            for images in pil_batches(frames, rows)
        ]
        written = [tokenizer([prompt + text for text in captions_of(frames, rows)]) for prompt in prompts]
        read = [model.encode_text(ids.to(device()), normalize=True) for ids in written]
    return [value.float().cpu().numpy() for value in (torch.cat(seen), *read)]


def clip_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS / "clip") -> list[Row]:
    """CLIP picks a frame's caption among those of 64 frames."""
    rows = some(unseen, ASKED // GROUP * GROUP)
    captions = captions_of(unseen, rows)
    pictures, plain, prompted = clip_features(folder, unseen, rows, ("", PROMPT))
    return [
        ("clip", "picks the right one of 64 captions", f"{picks(pictures, plain, captions):.1%}"),
        ("clip", "the same in the study's prompt", f"{picks(pictures, prompted, captions):.1%}"),
    ]


def dino_features(folder: Path, frames: "Frames", rows: np.ndarray) -> np.ndarray:
    """(n, width) unit vectors of the class token: resize 128, centre crop 112, ImageNet mean and deviation."""
    import torch
    from torchvision import transforms

    from demo.learn import IMAGENET_MEAN, IMAGENET_STD
    from dreamshot.models import device, load_dino
    from dreamshot.params import Weights

    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize(128, bicubic), transforms.CenterCrop(112), transforms.ToTensor()]
    view = transforms.Compose([*steps, transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])
    model = load_dino(Weights(source=str(folder), revision=""))
    with torch.no_grad():
        found = [
            torch.nn.functional.normalize(model(torch.stack([view(image) for image in images]).to(device())), dim=1)
            for images in pil_batches(frames, rows)
        ]
    return torch.cat(found).float().cpu().numpy()


def dino_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS / "dino") -> list[Row]:
    """k-NN (k = 10, cosine) from the training films to the unseen ones."""
    kept, asked = some(bank, BANK), some(unseen, ASKED)
    known, queries = dino_features(folder, bank, kept), dino_features(folder, unseen, asked)

    def right(key: str) -> np.ndarray:
        labels, truth = bank.truth[key].to_numpy()[kept], unseen.truth[key].to_numpy()[asked]
        return np.asarray(knn(known, labels, queries) == truth)

    core = ~unseen.truth["border"].to_numpy(bool)[asked]
    shot, place = right("shot_type"), right("place")
    return [
        ("dino", "k-NN shot type, all frames", f"{shot.mean():.1%}"),
        ("dino", "k-NN shot type, without border cases", f"{shot[core].mean():.1%}"),
        ("dino", "k-NN place", f"{place.mean():.1%}"),
    ]


def write_captions(folder: Path, frames: "Frames", rows: np.ndarray) -> list[str]:
    """What the captioner says about the frames, greedily, in at most 32 tokens."""
    import torch

    from dreamshot.models import device, load_captioner
    from dreamshot.params import Weights

    processor, model = load_captioner(Weights(source=str(folder), revision=""))
    said: list[str] = []
    with torch.no_grad():
        for images in pil_batches(frames, rows):
            inputs = processor(images=images, return_tensors="pt").to(device())
            written = model.generate(**inputs, max_new_tokens=32, num_beams=1, do_sample=False)
            said += [text.strip() for text in processor.batch_decode(written, skip_special_tokens=True)]
    return said


def captioner_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS / "captioner") -> list[Row]:
    """The attributes that the captions state, against the truth."""
    rows = some(unseen, ASKED // 2)
    truth = unseen.truth.iloc[rows][list(ATTRIBUTES)].astype(str).to_dict("records")
    said = write_captions(folder, unseen, rows)
    shares = attribute_shares(said, truth)
    whole = np.mean([text == caption for text, caption in zip(said, captions_of(unseen, rows), strict=True)])
    return [
        ("captioner", "attributes right, mean of the five", f"{np.mean(list(shares.values())):.1%}"),
        *(("captioner", f"{key} right", f"{share:.1%}") for key, share in shares.items()),
        ("captioner", "whole caption word for word", f"{whole:.1%}"),
    ]


def psnr(pictures: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of each picture: (n, h, w, 3) uint8 twice -> (n)."""
    errors = (pictures.astype(np.float64) - wanted) ** 2
    return np.asarray(10 * np.log10(255**2 / errors.mean(axis=(1, 2, 3))))


def autoencoder_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS / "base") -> list[Row]:
    """Pictures put into latents, at the posterior's mean, and back."""
    import torch

    from dreamshot.models import device, load_base
    from dreamshot.params import Weights

    vae = load_base(Weights(source=str(folder), revision="")).vae.to(device())
    rows = some(unseen, RECONSTRUCTED)
    wanted = unseen.pixels[rows]
    with torch.no_grad():
        pictures = torch.from_numpy(wanted).permute(0, 3, 1, 2).to(device()).float() / 127.5 - 1
        back = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    found = ((back + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [("base", "PSNR of the autoencoder's reconstructions, in dB", f"{psnr(found, wanted).mean():.1f}")]


def base_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS) -> list[Row]:
    """What the captioner reads from the pictures that the base draws from the captions of unseen frames.

    The reader errs itself (``captioner_rows``), so these figures bound the base's from below.
    """
    from dreamshot.models import device, load_base
    from dreamshot.params import Weights

    pipeline = load_base(Weights(source=str(folder / "base"), revision="")).to(device())
    pipeline.set_progress_bar_config(disable=True)
    rows = some(unseen, DRAWN)
    drawn = np.concatenate([draw(pipeline, captions_of(unseen, part)) for part in np.array_split(rows, 8)])
    frames = type(unseen)(drawn, unseen.truth.iloc[rows].reset_index(drop=True))
    said = write_captions(folder / "captioner", frames, np.arange(len(rows)))
    truth = frames.truth[list(ATTRIBUTES)].astype(str).to_dict("records")
    shares = attribute_shares(said, truth)
    return [("base", f"{key} read from its pictures", f"{share:.1%}") for key, share in shares.items()]


def draw(pipeline: Any, captions: Sequence[str]) -> np.ndarray:
    """(n, side, side, 3) uint8 pictures in the study's manner: its prompt, 16 steps, guidance 6."""
    import torch

    prompts = [DRAWING_PROMPT + text for text in captions]
    noise = torch.Generator().manual_seed(SEED)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Should have t")  # torchsde rounds the lowest sigma by 5e-7
        found = pipeline(prompts, num_inference_steps=16, guidance_scale=6.0, generator=noise, output_type="np")
    return np.asarray((found.images * 255).round().astype(np.uint8))


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with each other one: (n, 4) and (m, 4) corners -> (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    areas, other_areas = ((corners[:, 2:] - corners[:, :2]).prod(-1) for corners in (boxes, others))
    return np.asarray(common / (areas[:, None] + other_areas - common))


def hits(found: np.ndarray, true: np.ndarray) -> tuple[int, int]:
    """How many true boxes were found, with an overlap above a half, and how many found boxes are none of them.

    Args:
        found, true: (n, 4) and (m, 4) corners. Each true box is found once, by the box that overlaps it most; another
            one upon it is a false alarm.
    """
    free = overlaps(found, true)
    right = 0
    while free.size and free.max() > 0.5:
        row, column = np.unravel_index(free.argmax(), free.shape)
        free[row], free[:, column] = 0, 0
        right += 1
    return right, len(found) - right


def detector_shares(folder: Path, frames: "Wide", rows: np.ndarray) -> dict[str, float]:
    """By class, the share of true boxes that are found and, as "<class> false", false alarms a frame."""
    from demo.wide import CLASSES, HEIGHT, WIDTH
    from dreamshot.models import load_detector
    from dreamshot.params import Crop, Weights
    from stages.detect import find

    processor, model = load_detector(Weights(source=str(folder), revision=""))
    params = Crop(method="detector", size=128, keep=list(CLASSES), threshold=0.5)
    seen = [find(frames.pixels[row], processor, model, params) for row in rows]
    shares: dict[str, float] = {}
    for number, name in enumerate(CLASSES):
        boxes = frames.boxes[rows, :, number] * np.array((WIDTH, HEIGHT, WIDTH, HEIGHT))
        true = [people[np.isfinite(people[:, 0])] for people in boxes]
        found = [np.array([thing.box for thing in things if thing.name == name]).reshape(-1, 4) for things in seen]
        right, wrong = np.sum([hits(*pair) for pair in zip(found, true, strict=True)], axis=0)
        shares |= {name: float(right / sum(map(len, true))), f"{name} false": float(wrong / len(rows))}
    return shares


def detector_rows(bank: "Frames", unseen: "Frames", folder: Path = MODELS / "detector") -> list[Row]:
    """The boxes found in whole stills of the unseen films, squashed to the detector's size."""
    from demo.wide import load_wide

    frames = load_wide("valid")
    shares = detector_shares(folder, frames, np.arange(len(frames.pixels)))
    return [
        ("detector", "heads found (overlap above a half)", f"{shares['head']:.1%}"),
        ("detector", "people found (overlap above a half)", f"{shares['person']:.1%}"),
        ("detector", "heads where there are none, in 100 frames", f"{100 * shares['head false']:.1f}"),
    ]


MEASURES: tuple[Callable[["Frames", "Frames"], list[Row]], ...] = (
    autoencoder_rows, base_rows, clip_rows, dino_rows, captioner_rows, detector_rows,
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    return "\n".join(["| model | figure on unseen films | value |", "| --- | --- | --- |", *map(line, rows)])


def line(row: Row) -> str:
    return f"| {row[0]} | {row[1]} | {row[2]} |"


def main() -> None:
    """Run every measure and print the table."""
    from demo.data import load_split

    bank, unseen = load_split("train"), load_split("valid")
    print(table([row for measure in MEASURES for row in measure(bank, unseen)]))


if __name__ == "__main__":
    main()
