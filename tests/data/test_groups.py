import pytest

from concord.data.groups import read_facts, read_groups
from concord.errors import DataError

FACTS = """relation,subject,object,template
home,Anna,Rome,[X] lives in [Y].
home,Anna,Rome,"the home of [X], today, is"
home,Bob,Oslo,[X] lives in [Y].
job,Anna,actor,[X] is a [Y].
job,Anna,actor,[X] is an [Y].
job,Anna,actor,[X] works as [Y].
job,Bob,poet,[X] works as [Y].
job,Bob,poet,[X] is a [Y].
job,Bob,poet,[X] is an [Y].
job,Carl,poet,[X] works as [Y].
job,Carl,actor,[X] works as [Y].
"""


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def test_groups_come_as_json_lines_or_csv(tmp_path):
    lines = '{"group": 1, "text": "Hi, you."}\n{"group": 1, "text": "Hello."}\n'
    table = 'group,text\n1,"Hi, you."\n1,Hello.\n'
    first = read_groups(write(tmp_path / "own.jsonl", lines))
    second = read_groups(write(tmp_path / "own.csv", table))
    assert first == second
    assert first.name == "own"
    (found,) = first.sets
    assert (found.id, found.sentences) == ("1", ("Hi, you.", "Hello."))


def test_groups_of_one_are_counted_and_unread_columns_named(tmp_path):
    table = "group,text,author\n1,a,x\n2,c,x\n1,b,x\n"
    data = read_groups(write(tmp_path / "own.csv", table))
    assert data.counts["sets_of_one"] == 1
    assert "1 sets of one sentence left out." in data.notes
    assert "Columns not read: author." in data.notes


def test_groups_without_paraphrases_are_refused(tmp_path):
    with pytest.raises(DataError, match="no group has two different sentences"):
        read_groups(write(tmp_path / "own.csv", "group,text\n1,a\n1,a\n2,b\n"))


def test_a_wrong_column_of_groups_names_the_near_one(tmp_path):
    with pytest.raises(DataError, match=r"no column 'group'.*did you mean 'groups'"):
        read_groups(write(tmp_path / "own.csv", "groups,text\n1,a\n"))


def test_facts_follow_the_rules_of_pararel(tmp_path):
    data = read_facts(write(tmp_path / "own.csv", FACTS))
    home, job = data.relations
    assert [t.text for t in home.templates] == [
        "[X] lives in",
        "the home of [X], today, is",
    ]
    # Bob has no row for the second template of home
    assert home.skipped == {"home:Bob": {1}}
    # "a actor" and "an poet" are left out; Carl has two jobs
    assert job.skipped == {"job:Anna": {0}, "job:Bob": {1}}
    assert [fact.subject for fact in job.facts] == ["Anna", "Bob"]
    assert job.candidates == ("actor", "poet")
    assert data.counts["subjects_dropped"] == 1
    assert data.counts["prompts_not_given"] == 1
    assert data.counts["prompts_against_article"] == 2
    # home: 2 + 1 prompts; job: 2 + 2
    assert data.counts["prompts"] == 7
    assert data.counts["agreement_pairs"] == 1 + 0 + 1 + 1


def test_several_objects_can_count_as_right(tmp_path):
    path = write(tmp_path / "own.csv", FACTS)
    data = read_facts(path, multi_object="any", article_rule=False)
    assert {fact.id: fact.objects for fact in data.facts}["job:Carl"] == (
        "poet",
        "actor",
    )
    assert data.counts["prompts_against_article"] == 0


def test_a_relation_without_object_final_template_is_left_out_and_noted(tmp_path):
    table = "relation,subject,object,template\nr,A,b,[X] of [Y]\ns,A,b,[Y] of [X]\n"
    data = read_facts(write(tmp_path / "own.csv", table))
    assert [relation.id for relation in data.relations] == ["r"]
    assert data.counts["relations_left_out"] == 1
    assert any("1 relations left out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("r,A,b,in [Y]", r"line 2: .*\[X\] 0 times"),
        ("r,A,b,[X] [Y] [Y]", r"line 2: .*\[Y\] 2 times"),
        ("r,A,,[X] in [Y]", "line 2: 'object' is empty"),
        ("a:r,A,b,[X] in [Y]", "line 2: .*colon"),
        ("r,A,b,[Y] has [X]", "no fact is left of 1 rows"),
    ],
)
def test_a_faulty_fact_is_refused_by_line(tmp_path, line, message):
    table = f"relation,subject,object,template\n{line}\n"
    with pytest.raises(DataError, match=message):
        read_facts(write(tmp_path / "own.csv", table))


def test_a_wrong_column_of_facts_names_the_near_one(tmp_path):
    table = "relation,subject,objects,template\nr,A,b,[X] in [Y]\n"
    with pytest.raises(DataError, match=r"no column 'object'.*did you mean 'objects'"):
        read_facts(write(tmp_path / "own.csv", table))
