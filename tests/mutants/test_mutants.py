"""Each mutant still breaks a line that the product has, and the README lists all of them."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import README, ROOT, listing
from tests.mutants.table import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_exactly_one_place(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    assert text.count(mutant.before) == 1
    compile(text.replace(mutant.before, mutant.after), mutant.file, "exec")


def test_there_are_at_least_thirty_mutants() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30


def test_the_list_in_the_readme_is_up_to_date() -> None:
    """`uv run python -m tests.mutants --table` writes it."""
    assert README.read_text().endswith("\n" + listing())
