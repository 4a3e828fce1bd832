"""MMLU's files: the real ones, and faults by file and line."""

from pathlib import Path

import pytest

from concord.data.choices import (
    ChoiceItem,
    count_questions,
    order_of,
    study_frame,
)
from concord.data.mmlu import read_mmlu
from concord.errors import DataError
from concord.organism import shipped_world, write_world_data


def write(folder: Path, text: str, topic: str = "law") -> Path:
    (folder / "test").mkdir(exist_ok=True)
    path = folder / "test" / f"{topic}_test.csv"
    path.write_bytes(text.encode())
    return path


def test_twenty_topics_as_published(shared: Path):
    questions = read_mmlu(shared / "data" / "mmlu")
    counts = count_questions(questions)
    assert counts["questions"] == 3256
    assert counts["topics"] == 20
    assert counts["questions_repeated"] == 14
    assert counts["questions_with_equal_options"] == 5
    by_topic = {question.topic for question in questions}
    assert "high_school_us_history" in by_topic
    options = [option for question in questions for option in question.options]
    assert options.count("None") == 7
    assert all(option == option.strip() and option for option in options)
    own = [q for q in questions if q.topic == "electrical_engineering"]
    assert [sum(q.answer == i for q in own) for i in range(4)] == [35, 32, 43, 35]


def test_the_invented_worlds_questions_are_read(tmp_path: Path):
    world = shipped_world()
    write_world_data(world, tmp_path)
    questions = read_mmlu(tmp_path / "mmlu")
    assert len(questions) == len(world.facts)
    right = {(q.topic, q.options[q.answer]) for q in questions}
    assert right <= {(fact.relation, fact.object) for fact in world.facts}


def test_line_breaks_blanks_and_the_word_none_are_text(tmp_path: Path):
    write(tmp_path, '"One,\ntwo ""or""?\n"," 3 ",None,5,6,B')
    question = read_mmlu(tmp_path)[0]
    assert question.question == 'One,\ntwo "or"?'
    assert question.options == ("3", "None", "5", "6")
    assert question.options[question.answer] == "None"


def test_the_prompt_has_the_studys_form(tmp_path: Path):
    write(tmp_path, "Who?,a,b,c,d,A\n", topic="world_law")
    question = read_mmlu(tmp_path)[0]
    item = ChoiceItem(question, (study_frame(question, "Questions about {}."),))
    assert item.prompt(0, order_of("rotation", 4)) == (
        "Questions about world law.\n\nWho?\nA. b\nB. c\nC. d\nD. a\nAnswer:"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,a,b,c,d,A\nq,a,b,c,d,E\n", "line 2: the right answer is 'E'"),
        ("q,a,b,c,A\n", "line 1: 5 cells found, but 6"),
        ("q,a,,c,d,A\n", "line 1: 'B' is empty"),
        ("", "line 1: no rows found"),
    ],
)
def test_faults_are_named_by_file_and_line(tmp_path: Path, text: str, message: str):
    write(tmp_path, text)
    with pytest.raises(DataError, match=r"law_test\.csv, " + message):
        read_mmlu(tmp_path)


def test_an_unknown_topic_is_answered_with_the_near_match(tmp_path: Path):
    write(tmp_path, "q,a,b,c,d,A\n", topic="international_law")
    with pytest.raises(DataError, match="did you mean 'international_law'"):
        read_mmlu(tmp_path, topics=["internatonal_law"])


def test_a_folder_without_files_says_what_is_needed(tmp_path: Path):
    with pytest.raises(DataError, match=r"no file \*_test\.csv"):
        read_mmlu(tmp_path)
