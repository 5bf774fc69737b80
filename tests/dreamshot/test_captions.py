"""Reviewed captions: a table that git can diff, flags that are right, and a distance."""

from pathlib import Path

import pytest

from dreamshot import captions
from dreamshot.captions import Reviewed, edit_distance, flags, read_reviewed, repeats, write_reviewed
from dreamshot.errors import StudyError
from dreamshot.params import ShotType, Weights, load_params
from tests.tiny_models import clip_tokenizer

ONE, TWO = "00" * 8, "ff" * 8
KNOWN = {ONE, TWO}
TEMPLATE = "a high-quality [shot_type] picture of [caption]"


def words(text: str) -> int:
    return len(text.split())


def table(folder: Path, text: str) -> Path:
    path = folder / "captions.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "captions.csv"
    rows = [
        Reviewed(TWO, 'a "tall" man, laughing', "a man", "anna", "2026-11-22T10:00:00Z"),
        Reviewed(ONE, "eine Frau in Köln"),
    ]
    write_reviewed(path, rows)
    assert read_reviewed(path, KNOWN) == {row.frame: row for row in rows}


def test_the_table_is_text_that_git_can_diff(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    rows = [Reviewed(TWO, "a man,\n laughing", "a man", "anna", "2026-11-22"), Reviewed(ONE, "")]
    write_reviewed(path, rows)
    assert path.read_bytes() == (
        f'frame,caption,raw,editor,time\n{ONE},,,,\n{TWO},"a man, laughing",a man,anna,2026-11-22\n'.encode()
    )
    before = path.read_bytes()
    write_reviewed(path, reversed(rows))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_table_is_no_caption(tmp_path: Path) -> None:
    assert read_reviewed(tmp_path / "captions.csv", KNOWN) == {}


def test_two_columns_are_enough_in_any_order(tmp_path: Path) -> None:
    path = table(tmp_path, f"\ufeffcaption,frame\na  dog,{ONE}\n\n")
    assert read_reviewed(path, KNOWN) == {ONE: Reviewed(ONE, "a dog")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"frame,caption\n{ONE},a dog\nabc,a cat\n", "row 3: frame 'abc' is none that ingest has seen"),
        (f"frame,caption\n{ONE},a dog\n{ONE},a cat\n", f"row 3: frame '{ONE}' has a caption already; keep one"),
        (f"frame,caption\n{ONE},a man, laughing\n", "row 2: 3 cells for 2 columns; quote a value that holds a comma"),
        (f"frame,caption,raw\n{ONE},a man\n", "row 2: 2 cells for 3 columns"),
        (f"picture,caption\n{ONE},a dog\n", "no column 'frame'"),
        (f"frame,text\n{ONE},a dog\n", "no column 'caption'"),
        (f"frame,caption,note\n{ONE},a dog,x\n", "column 'note' is not one of frame, caption, raw, editor, time"),
        (f"frame,caption,caption\n{ONE},a dog,x\n", "column 'caption' stands twice"),
        ("", "no column 'caption'"),
        (f'frame,caption\n{ONE},"a dog\n', "row 2: not CSV"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(StudyError, match=message) as error:
        read_reviewed(path, KNOWN)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_bytes(f"frame,caption\n{ONE},K".encode() + b"\xf6ln\n")
    with pytest.raises(StudyError, match="line 2: not UTF-8"):
        read_reviewed(path, KNOWN)


def test_a_plain_caption_has_no_flag() -> None:
    assert flags("a woman in a red coat, laughing", "close", words, TEMPLATE) == ()


@pytest.mark.parametrize("caption", ["", "  \n"])
def test_an_empty_caption_is_empty_and_nothing_else(caption: str) -> None:
    assert flags(caption, "close", words, TEMPLATE) == ("empty",)


def test_the_prompts_words_count_too() -> None:
    length = captions.CLIP_TOKENS - words("a high-quality close_shot picture of")
    assert flags(" ".join(f"w{n}" for n in range(length)), "close", words, TEMPLATE) == ()
    assert flags(" ".join(f"w{n}" for n in range(length + 1)), "close", words, TEMPLATE) == ("too_long",)


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("a man a man in a coat", True),
        ("a dog, a dog, a dog", True),
        ("a very very very red coat", True),
        ("Red red RED", True),
        ("a man in a coat in a coat", True),
        ("a very very red coat", False),
        ("a man and a man", False),
        ("day by day", False),
        ("a man with a dog and a cat", False),
        ("dog", False),
        ("", False),
    ],
)
def test_a_caption_that_repeats_itself(caption: str, found: bool) -> None:
    assert repeats(caption) is found
    assert ("repeats" in flags(caption or "x", "close", words, TEMPLATE)) is found


@pytest.mark.parametrize(
    ("caption", "fits"),
    [
        ("a close-up of a man", {"close"}),
        ("a close up of a man", {"close"}),
        ("close up, a man", {"close"}),
        ("a man in extreme closeup", {"close"}),
        ("a Close Shot of a man", {"close"}),
        ("a headshot of a man", {"close"}),
        ("a medium close-up of a man", {"close", "medium"}),
        ("a medium shot of a man", {"medium"}),
        ("a mid-shot of a man", {"medium"}),
        ("a medium long shot of a man", {"medium"}),
        ("a long shot of a man", {"long"}),
        ("a wide-angle shot of a street", {"long"}),
        ("full shots of two men", {"long"}),
        ("an establishing shot of a town", {"long"}),
        ("a long_shot picture of a town", {"long"}),
        ("a wide shot and a close-up", set()),
        ("the shop is close", {"close", "medium", "long"}),
        ("two men close up the shop", {"close", "medium", "long"}),
        ("a long shot glass on a table", {"close", "medium", "long"}),
        ("a screenshot of a long film", {"close", "medium", "long"}),
        ("a man with a medium build", {"close", "medium", "long"}),
    ],
)
def test_a_shot_scale_that_contradicts_the_label(caption: str, fits: set[ShotType]) -> None:
    kinds: tuple[ShotType, ...] = ("close", "medium", "long")
    assert {kind for kind in kinds if not flags(caption, kind, words, TEMPLATE)} == fits
    assert all(flags(caption, kind, words, TEMPLATE) == ("shot_scale",) for kind in set(kinds) - fits)


def test_flags_come_in_one_order() -> None:
    caption = "a long shot of " + "a man " * captions.CLIP_TOKENS
    assert flags(caption, "close", words, TEMPLATE) == ("too_long", "repeats", "shot_scale")


def test_a_prompt_has_its_fields_filled() -> None:
    template = "a high-quality [shot_type] picture of [caption]"
    assert captions.prompt(template, "medium", "a dog") == "a high-quality medium_shot picture of a dog"
    assert captions.prompt("a picture of [caption]", "medium", "a dog") == "a picture of a dog"


def test_tokens_are_the_base_models_own_without_beginning_and_end(tmp_path: Path) -> None:
    clip_tokenizer().save_pretrained(tmp_path / "base" / "tokenizer")
    count = captions.token_counter(Weights(source=str(tmp_path / "base"), revision=""))
    assert count("a hat in a red coat") == 6
    assert count("a zebro") == 1 + len("zebro")
    assert count("hat " * 100) == 100
    assert count("") == 0


def test_the_demos_tokenizer_counts() -> None:
    count = captions.token_counter(load_params().models.base)
    assert 1 < count("a woman in a purple dress") < 20


def test_a_base_model_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"models\.base\.source"):
        captions.token_counter(Weights(source=str(tmp_path), revision=""))


@pytest.mark.parametrize(
    ("raw", "caption", "distance"), [("kitten", "sitting", 3), ("a man", "a man", 0), ("", "a man", 5), ("é", "e", 1)]
)
def test_the_edit_distance_is_levenshteins(raw: str, caption: str, distance: int) -> None:
    assert edit_distance(raw, caption) == edit_distance(caption, raw) == distance
