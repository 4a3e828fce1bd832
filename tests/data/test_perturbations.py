"""Perturbations: seeded, small, and never touching a number."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.data.perturbations import (
    PERTURBATIONS,
    contractions,
    perturb,
    punctuation,
    spacing,
    typing_errors,
)
from concord.errors import StudyError

TEXT = "Which planets are not larger than 4,200 kilometres across?"


@pytest.mark.parametrize("name", sorted(PERTURBATIONS))
def test_the_same_item_is_always_changed_alike(name: str):
    changed = perturb(TEXT, name, item="law:1", seed=3)
    assert changed == perturb(TEXT, name, item="law:1", seed=3)
    assert changed != TEXT


def test_another_item_or_seed_gets_another_change():
    long = " ".join(["remarkable"] * 40)
    found = {
        perturb(long, "typing_errors", item=item, seed=seed)
        for item in ("a", "b")
        for seed in (0, 1)
    }
    assert len(found) == 4


@given(st.text(max_size=60), st.sampled_from(sorted(PERTURBATIONS)))
def test_digits_are_never_touched(text: str, name: str):
    changed = perturb(text, name, item="i")
    assert re.findall("[0-9]", changed) == re.findall("[0-9]", text)


def test_a_typing_error_exchanges_two_inner_letters():
    changed = typing_errors("kilometre", Random(0))
    assert sorted(changed) == sorted("kilometre")
    assert (changed[0], changed[-1]) == ("k", "e")
    assert typing_errors("a b c 12345", Random(0)) == "a b c 12345"


def test_spacing_doubles_one_blank():
    changed = spacing("one two three", Random(0))
    assert changed.count(" ") == 3
    assert "  " in changed


def test_punctuation_is_taken_away_or_added():
    assert punctuation("Who is it?", Random(0)) == "Who is it"
    assert punctuation("Name it", Random(0)) == "Name it."


def test_contractions_keep_the_first_capital_and_leave_genitives():
    assert contractions("This is not here?", Random(0)) == "This isn't here?"
    assert contractions("It is so.", Random(0)) == "It's so."
    assert contractions("Ann's cat", Random(0)) == "Ann's cat"


def test_an_unknown_perturbation_is_answered_with_the_near_match():
    with pytest.raises(StudyError, match="did you mean 'spacing'"):
        perturb(TEXT, "spaces", item="i")
