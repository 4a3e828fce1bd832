"""What counts as an answer, and which answers are the same."""

import pytest

from concord.data.answer_text import answer_in, has_stopped, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", "paris"),
        (" The  Paris. ", "paris"),
        ("“Paris!”", "paris"),
        ("3.5", "3.5"),
        ("1,000 people", "1,000 people"),
        ("10:30.", "10:30"),
        ("the", "the"),
        ("Ａ", "a"),
        ("STRASSE", normalised("straße")),
        ("New-York", "new york"),
        ("-5", "-5"),
        ("\u22125 degrees", "-5 degrees"),
        ("+5", "5"),
        ("= 5", "5"),
        ("COVID-19", "covid 19"),
        ("1990-95", "1990-95"),
        ("C++", "c++"),
        ("C#.", "c#"),
        ("A-", "a-"),
        ("- Paris", "paris"),
        ("**Paris**", "paris"),
        ("snake_case", "snake_case"),
        ("+", "+"),
        (">", ">"),
        ("-", "-"),
        ("कील", "कील"),
        ("काल", "काल"),
        ("ก่อน", "ก่อน"),
        ("...", ""),
        ("?!", ""),
        ("", ""),
    ],
)
def test_case_marks_blanks_and_an_article_in_front_do_not_matter(
    text: str, expected: str
):
    assert normalised(text) == expected


def test_an_answer_ends_at_the_first_stop_behind_its_first_sign():
    assert answer_in("\n Paris\nQuestion: next", ["\n"]) == "Paris"
    assert answer_in("Paris. Then", ["\n", "."]) == "Paris"
    assert not has_stopped("\n Par", ["\n"])
    assert has_stopped("\n Paris\n", ["\n"])


def test_nothing_to_read_is_no_answer():
    assert answer_in(" \n", ["\n"]) is None
    assert answer_in("?!", ["\n"]) is None
    assert answer_in("I do not know", ["\n"], r"answer is (\w+)") is None
    assert answer_in("The answer is B, I think", ["\n"], r"answer is (\w+)") == "B"
    assert answer_in("so 42 it is", ["\n"], r"\d+") == "42"
    assert answer_in("answer is", ["\n"], r"answer is(x)?") is None
