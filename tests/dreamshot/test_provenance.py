"""What a stage ran with: two processors of one name are told apart by what they can compute with."""

from dreamshot.provenance import cpu_kind, cpu_name

FACTS = {"model name": "Some Processor", "cpu family": "6", "model": "143", "flags": "fpu avx2 avx512f sse4_2"}


def test_the_kind_names_numbers_and_the_instructions_that_decide_kernels() -> None:
    assert cpu_name(FACTS) == "Some Processor"
    assert cpu_kind(FACTS) == "cpu family 6, model 143, avx2, avx512f"
    assert cpu_kind(FACTS | {"flags": "fpu avx2 avx512f amx_bf16"}) != cpu_kind(FACTS)


def test_a_system_that_tells_nothing_has_its_architecture_for_a_name() -> None:
    assert cpu_name({})
    assert cpu_kind({}) == ""
