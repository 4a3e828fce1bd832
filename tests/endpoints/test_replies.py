"""Replies are read strictly: what is not there is said to be missing."""

from typing import Any

import pytest

from concord.endpoints.replies import decided, written
from concord.endpoints.usage import Usage, cost_of, in_words
from concord.endpoints.wire import Unreadable
from concord.study import TokenPrice


def test_choices_come_in_the_order_of_their_prompts():
    reply = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}
    assert [one.text for one in written(reply, count=2)] == ["a", "b"]


def test_choices_that_do_not_tell_their_prompt_are_refused():
    reply = {"choices": [{"index": 0, "text": "b"}, {"index": 0, "text": "a"}]}
    with pytest.raises(Unreadable, match="index does not tell"):
        written(reply, count=2)


def test_an_entry_for_each_token_is_read_too():
    entry = {
        "token": "A",
        "logprob": -0.5,
        "top_logprobs": [{"token": "A", "logprob": -0.5}],
    }
    message = {"content": "A"}
    reply = {"choices": [{"message": message, "logprobs": {"content": [entry]}}]}
    told = written(reply)[0].tokens
    assert told is not None
    assert told.texts == ("A",) and told.top == ({"A": -0.5},)


def test_a_turn_without_words_is_an_empty_text():
    reply = {"choices": [{"message": {"role": "assistant", "content": None}}]}
    assert written(reply)[0].text == ""


@pytest.mark.parametrize(
    "number", [0.5, "much", float("nan"), [1], False, -(10**400), {}]
)
def test_what_is_no_log_probability_is_refused(number: Any):
    logprobs = {"tokens": ["a"], "token_logprobs": [number]}
    reply = {"choices": [{"text": "a", "logprobs": logprobs}]}
    with pytest.raises(Unreadable, match="log-probability"):
        written(reply)


def test_fewer_numbers_than_tokens_are_refused():
    logprobs = {"tokens": ["a", "b"], "token_logprobs": [-1.0]}
    with pytest.raises(Unreadable, match="not as many as tokens"):
        written({"choices": [{"text": "ab", "logprobs": logprobs}]})


@pytest.mark.parametrize("offsets", [[None, None], [0], 5, ["0", "1"], None])
def test_offsets_that_are_no_places_are_not_told(offsets: Any):
    logprobs = {
        "tokens": ["a", "b"],
        "token_logprobs": [None, -1.0],
        "text_offset": offsets,
        "top_logprobs": [None, 7],
    }
    told = written({"choices": [{"text": "ab", "logprobs": logprobs}]})[0].tokens
    assert told is not None
    assert told.offsets is None and told.top == ({}, {})


@pytest.mark.parametrize("top", [5, "A", [5], [{"token": [], "logprob": -1}], {}])
def test_alternatives_of_another_form_are_not_told(top: Any):
    entry = {"token": "A", "logprob": -0.5, "top_logprobs": top}
    choice = {"message": {"content": "A"}, "logprobs": {"content": [entry]}}
    told = written({"choices": [choice]})[0].tokens
    assert told is not None
    assert told.texts == ("A",) and told.top == ({},)


def decision(**told: Any) -> dict[str, Any]:
    return {"answers": {"choice": {"type": "choice", "probabilities": told}}}


def test_a_decision_holds_a_probability_for_every_option():
    assert decided(decision(b=0.25, a=0.75), "choice", ["a", "b"]) == [0.75, 0.25]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (decision(a=1.0), "1 probabilities where 2"),
        (decision(a=0.5, c=0.5), "2 probabilities where 2"),
        (decision(a=0.5, b=0.2), "add up to 0.7"),
        (decision(a=1.5, b=-0.5), "in the place of probabilities"),
        ({"answers": {}}, "no probabilities"),
    ],
)
def test_a_decision_with_other_options_is_refused(reply: dict[str, Any], words: str):
    with pytest.raises(Unreadable, match=words):
        decided(reply, "choice", ["a", "b"])


def test_a_cost_needs_a_price_and_every_count():
    price = TokenPrice(input=2.0, output=10.0)
    usage = Usage()
    usage.count_tokens(
        {"usage": {"prompt_tokens": 1_000_000, "completion_tokens": 100_000}}
    )
    # 1 million at 2 and a tenth of one at 10.
    assert cost_of(usage, price) == {"amount": 3.0, "currency": "USD"}
    assert cost_of(usage, None) is None
    assert "3.0000 USD" in in_words(usage, price)
    usage.count_tokens({"usage": None})
    assert cost_of(usage, price) is None
    assert "not told in 1 replies" in in_words(usage, price)
