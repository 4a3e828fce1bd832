"""The prompt audit marks the tokens that only one model gets."""

import pytest

from concord.errors import ResultsError
from concord.report.prompts import read_prompt_pairs
from concord.results import Run


def test_models_with_the_same_prompt_are_shown_once(drawn: Run):
    pairs = read_prompt_pairs(drawn)
    assert len(pairs) == 6
    assert all(pair.models == ("tuned-1", "tuned-2") for pair in pairs)


def test_tokens_of_one_prompt_alone_are_marked(drawn: Run):
    # base 1 5 6 7; tuned 1 9 9 5 6 7: the two 9s are the tuned model's own
    first = read_prompt_pairs(drawn)[0]
    assert not any(token.differs for token in first.base_tokens)
    assert [token.id for token in first.tuned_tokens if token.differs] == [9, 9]


def test_same_ids_have_no_mark(drawn: Run):
    same = [pair for pair in read_prompt_pairs(drawn) if pair.contexts == "same"]
    assert not any(token.differs for pair in same for token in pair.tuned_tokens)


def test_a_run_without_audit_has_no_pairs(tmp_path):
    assert read_prompt_pairs(Run(tmp_path)) == []


def test_a_broken_audit_is_named_with_its_line(tmp_path):
    (tmp_path / "audit.json").write_text("[\n{")
    with pytest.raises(ResultsError, match="audit.json: line 2"):
        read_prompt_pairs(Run(tmp_path))
