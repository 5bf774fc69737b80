"""The tiny RT-DETR: what the trainer writes is loaded as any detector is, and the committed one finds people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_frames import MODELS, UNSEEN

from demo import measure, train_detector, wide
from demo.draw import draw, people_boxes
from demo.pool import SEED
from demo.world import make_films, sample_shot
from dreamshot.models import load_detector
from dreamshot.params import Crop, Weights
from stages.detect import find


def frames(films: int, each: int) -> wide.Wide:
    """Wide frames of films that no model has seen."""
    parts = [wide.wide_frames(film, UNSEEN, each) for film in make_films(UNSEEN, films)]
    boxes = [row["boxes"] for _, rows in parts for row in rows]
    return wide.Wide(np.concatenate([pixels for pixels, _ in parts]), np.array(boxes, np.float32))


@pytest.fixture(scope="module")
def seen() -> wide.Wide:
    return frames(films=20, each=5)


def couple() -> int:
    """The first shot of the first unseen film with two people."""
    (film,) = make_films(UNSEEN, 1)
    return next(index for index in range(100) if len(sample_shot(film, index, UNSEEN).people) == 2)


def test_the_films_it_learns_from_are_not_the_study_s() -> None:
    seeds = {seed for seed, _, _ in wide.SPLITS.values()}
    assert len(seeds) == 2
    assert SEED not in seeds


@pytest.mark.parametrize("aspect", [1.0, 2.39])
def test_the_first_person_s_boxes_are_those_of_the_picture(aspect: float) -> None:
    shot = sample_shot(make_films(UNSEEN, 1)[0], couple(), UNSEEN)
    drawn = draw(shot, 128, aspect)
    first, second = people_boxes(shot, 128, aspect)
    assert first == (drawn.subject_box, drawn.head_box)
    assert second[1][0] > first[1][2], "the second head is to the right of the first"


def test_the_second_person_is_where_the_box_says() -> None:
    shot = sample_shot(make_films(UNSEEN, 1)[0], couple(), UNSEEN)
    other = next(person for person in shot.film.cast if person not in shot.people) if len(shot.film.cast) > 2 else None
    changed = replace(
        shot, people=(shot.people[0], other or replace(shot.people[1], garment_colour="black", skin="deep"))
    )
    differs = (draw(shot, 256).pixels != draw(changed, 256).pixels).any(axis=(0, 2))
    left, _, right, _ = people_boxes(shot, 256)[1][0]
    columns = np.flatnonzero(differs)
    assert len(columns)
    middle = (columns.min() + columns.max()) / 2
    assert left < middle < right


def test_each_head_has_its_own_hair() -> None:
    shot = sample_shot(make_films(UNSEEN, 1)[0], couple(), UNSEEN)
    first, second = (replace(person, who="woman", hair_style="bob") for person in shot.people)
    plain = people_boxes(replace(shot, people=(first, second)), 128)
    curly = people_boxes(replace(shot, people=(first, replace(second, hair_style="curly"))), 128)
    assert curly[0] == plain[0]
    assert curly[1][1][2] > plain[1][1][2]


def test_a_box_is_cut_at_the_frame_s_edge_and_left_out_where_little_of_it_is_seen() -> None:
    assert wide.seen((50, -20, 150, 80), 200, 100) == pytest.approx((0.25, 0, 0.75, 0.8))
    assert np.isnan(wide.seen((-80, 0, 20, 50), 200, 100)).all()
    assert not np.isnan(wide.seen((-70, 0, 30, 50), 200, 100)).any()


def test_frames_and_boxes_are_squashed_alike(seen: wide.Wide) -> None:
    assert seen.pixels.shape == (100, wide.HEIGHT, wide.WIDTH, 3)
    assert seen.boxes.shape == (100, wide.PEOPLE, len(wide.CLASSES), 4)
    there = seen.boxes[np.isfinite(seen.boxes).all(-1)]
    assert (there[:, :2] < there[:, 2:]).all()
    assert there.min() >= 0
    assert there.max() <= 1


def test_mirrored_twice_is_as_before_and_boxes_follow_the_picture(seen: wide.Wide) -> None:
    turned = np.array([True, False])
    pixels, boxes = train_detector.mirrored(seen.pixels[:2], seen.boxes[:2], turned)
    assert np.array_equal(pixels[1], seen.pixels[1])
    assert np.array_equal(pixels[0], seen.pixels[0, :, ::-1])
    before, after = seen.boxes[0, 0, 1], boxes[0, 0, 1]
    assert after == pytest.approx((1 - before[2], before[1], 1 - before[0], before[3]))
    again = train_detector.mirrored(pixels, boxes, turned)
    assert np.array_equal(again[0], seen.pixels[:2])
    np.testing.assert_allclose(again[1], seen.boxes[:2], atol=1e-6)


def test_targets_are_middles_and_sizes_of_what_is_there() -> None:
    boxes = np.full((1, 2, 2, 4), np.nan, np.float32)
    boxes[0, 0] = [(0.1, 0.2, 0.5, 1.0), (0.2, 0.2, 0.4, 0.4)]
    (target,) = train_detector.targets(boxes)
    assert target["class_labels"].tolist() == [0, 1]
    torch.testing.assert_close(target["boxes"], torch.tensor([(0.3, 0.6, 0.4, 0.8), (0.3, 0.3, 0.2, 0.2)]))


def test_waking_lets_batch_norms_through() -> None:
    model = train_detector.make_model()
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(weights) > 20
    assert all((weight == 1).all() for weight in weights)


def test_features_in_half_precision_give_the_model_s_own_boxes(seen: wide.Wide) -> None:
    torch.manual_seed(0)
    model = train_detector.make_model().eval()
    images = train_detector.learn.pictures(seen.pixels[:2])
    with torch.no_grad():
        ours, whole = train_detector.detect(model, images), model(images)
    assert ours.pred_boxes.shape == whole.pred_boxes.shape == (2, train_detector.QUERIES, 4)
    torch.testing.assert_close(ours.logits.amax((1, 2)), whole.logits.amax((1, 2)), atol=0.1, rtol=0.1)


def test_the_average_moves_by_its_share() -> None:
    average, model = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked += 7
    train_detector.follow(average, model, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.num_batches_tracked == 7


def test_the_trained_folder_loads_as_a_detector_of_people_and_heads(seen: wide.Wide, tmp_path: Path) -> None:
    train_detector.train(seen, seen, tmp_path, steps=2, batch=4)
    processor, model = load_detector(Weights(source=str(tmp_path), revision=""))
    assert type(model).__name__ == "RTDetrForObjectDetection"
    assert model.config.id2label == {0: "person", 1: "head"}
    assert processor(images=seen.pixels[0], return_tensors="pt")["pixel_values"].shape == (1, 3, 160, 256)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2e6


def test_overlaps_are_those_of_the_areas() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], float)
    np.testing.assert_allclose(measure.overlaps(boxes[:1], boxes), [[1, 1 / 7, 0]])


def test_a_true_box_is_found_once_and_by_the_best() -> None:
    true = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [22, 0, 30, 10], [50, 0, 60, 10]], float)
    assert measure.hits(found, true) == (2, 2)
    assert measure.hits(found[1:2], np.array([[0, 0, 10, 10], [1, 0, 11, 10]], float)) == (1, 0)
    assert measure.hits(found[:0], true) == (0, 0)
    assert measure.hits(found, true[:0]) == (0, 4)


def test_the_committed_detector_finds_people_and_heads_of_unseen_films(seen: wide.Wide) -> None:
    shares = measure.detector_shares(MODELS / "detector", seen, np.arange(100))
    assert shares["head"] > 0.95
    assert shares["person"] > 0.95
    assert shares["head false"] < 0.2


def test_it_finds_them_in_stills_of_any_shape() -> None:
    eyes = load_detector(Weights(source=str(MODELS / "detector"), revision=""))
    params = Crop(method="detector", size=128, keep=["head"], threshold=0.5)
    for film in make_films(UNSEEN, 6):
        shot = sample_shot(film, 0, UNSEEN)
        (found, *_) = find(draw(shot, 200).pixels, *eyes, params)
        true = [np.array([head]) for _, head in people_boxes(shot, 200)]
        assert max(measure.overlaps(np.array([found.box]), head).item() for head in true) > 0.5
