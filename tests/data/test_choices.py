"""Orders of options, wordings, and what makes two settings one."""

import pytest

from concord.data.choices import (
    STUDY_INSTRUCTIONS,
    ChoiceData,
    Question,
    count_questions,
    identity,
    order_of,
    worded_items,
)
from concord.data.perturbations import perturbations_by_name
from concord.errors import StudyError


def question(*options: str, text: str = "Is it not so?", answer: int = 0) -> Question:
    return Question("q", "law", text, options, answer, "file, line 1")


def test_orders_of_four_options():
    assert order_of("identity", 4) == (0, 1, 2, 3)
    assert order_of("rotation", 4) == (1, 2, 3, 0)
    assert order_of("reversal", 4) == (3, 2, 1, 0)
    assert sorted(order_of("shuffle1", 10)) == list(range(10))
    assert order_of("shuffle1", 10) != order_of("shuffle2", 10)


def test_an_unknown_order_is_answered_with_the_near_match():
    with pytest.raises(StudyError, match="did you mean 'reversal'"):
        order_of("reverse", 4)


def test_with_two_options_rotation_repeats_reversal():
    items, _ = worded_items([question("yes", "no")], STUDY_INSTRUCTIONS, {})
    orders = ("identity", "rotation", "reversal")
    assert [items[0].is_repeat(0, orders, place) for place in range(3)] == [
        False,
        False,
        True,
    ]


def test_a_perturbation_that_changes_nothing_is_a_repeat():
    changes = perturbations_by_name(["case", "contractions"], 0)
    items, wordings = worded_items(
        [question("yes", "no", text="so?")], ("About {}.",), changes
    )
    assert [wording.perturbation for wording in wordings] == [
        "",
        "case",
        "contractions",
    ]
    assert not items[0].is_repeat(1, ("identity",), 0)
    assert items[0].is_repeat(2, ("identity",), 0)


def test_every_prompt_is_one_of_all_settings():
    items, wordings = worded_items([question("a", "b", "c")], STUDY_INSTRUCTIONS, {})
    data = ChoiceData("mine", items, wordings, ("identity", "rotation", "reversal"))
    assert len(set(data.prompts)) == 9
    assert data.prompts[0].startswith(STUDY_INSTRUCTIONS[0].replace("{}", "law"))


def test_options_of_one_text_are_one_content():
    assert question("a", "b", "a").contents == (0, 1, 0)
    assert (
        count_questions([question("a", "b", "a")])["questions_with_equal_options"] == 1
    )


@pytest.mark.parametrize(
    "option",
    [
        "All of the above",
        "none of the above.",
        "Both A and B",
        "A and C",
        "None of these",
        "(A) and (B) both in the same way.",
        "Neither",
        "All of the options given are correct",
        "Two of the above",
        "More than one of the above",
        "Same as B",
        "1 and 2",
    ],
)
def test_options_that_speak_of_others_are_flagged(option: str):
    assert question("x", "y", "z", option).speaks_of_others


@pytest.mark.parametrize(
    "option",
    [
        "98% or above.",
        "Vitamin A and D",
        "all of them are successful lawyers",
        "Invalid when C and D are true",
        "nobody",
        "The same as a bird",
        "one of the statements of the witness",
    ],
)
def test_other_options_are_not(option: str):
    assert not question("x", "y", "z", option).speaks_of_others


def test_numbers_beside_numbers_are_no_options():
    assert not question("1", "2", "1 and 2").speaks_of_others
    assert not question("1 and 2", "1 and 3", "2 and 3").speaks_of_others


def test_the_same_question_in_another_order_is_one_cluster():
    assert identity(question("a", "b")) == identity(question("b", "a"))
    assert identity(question("a", "b")) != identity(question("a", "c"))
