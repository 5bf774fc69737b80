"""What a stage ran with: two processors of one name are told apart by what they can compute with."""

from pathlib import Path

import pytest

from dreamshot.errors import StudyError
from dreamshot.provenance import cpu_kind, cpu_name, threads
from dreamshot.work import work_folder

FACTS = {"model name": "Some Processor", "cpu family": "6", "model": "143", "flags": "fpu avx2 avx512f sse4_2"}


def test_the_kind_names_numbers_and_the_instructions_that_decide_kernels() -> None:
    assert cpu_name(FACTS) == "Some Processor"
    assert cpu_kind(FACTS) == "cpu family 6, model 143, avx2, avx512f"
    assert cpu_kind(FACTS | {"flags": "fpu avx2 avx512f amx_bf16"}) != cpu_kind(FACTS)


def test_a_system_that_tells_nothing_has_its_architecture_for_a_name() -> None:
    assert cpu_name({})
    assert cpu_kind({}) == ""


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5"])
def test_a_number_of_threads_that_is_none_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMSHOT_THREADS", text)
    with pytest.raises(StudyError, match=r"DREAMSHOT_THREADS = .* is not a whole number above 0"):
        threads()


def test_work_done_with_other_threads_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DREAMSHOT_THREADS", "1")
    one = work_folder("train", "key")
    assert work_folder("train", "key") == one
    monkeypatch.setenv("DREAMSHOT_THREADS", "2")
    assert work_folder("train", "key") != one
