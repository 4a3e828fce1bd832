"""Numbers as a reader sees them."""

import math

from concord.report import formats


def test_numbers_lose_their_leading_zero():
    assert formats.number(0.8124) == ".812"
    assert formats.number(-0.041) == "−.041"
    assert formats.number(3.25) == "3.250"
    assert formats.number(1.0) == "1.000"


def test_what_was_not_measured_is_a_dash():
    assert formats.number(None) == "–"
    assert formats.number(math.nan) == "–"
    assert formats.signed(None) == "–"
    assert formats.probability(None) == "–"
    assert formats.interval({"low": 0.1, "high": None}) == ""


def test_a_difference_that_rounds_to_zero_has_no_sign():
    assert formats.signed(0.0004) == ".000"
    assert formats.signed(-0.0004) == ".000"
    assert formats.signed(0.0006) == "+.001"
    assert formats.signed(-0.0006) == "−.001"


def test_change_shows_value_and_interval():
    entry = {"value": 0.083, "low": 0.0641, "high": 0.1009}
    assert formats.change(entry) == "+.083 [.064, .101]"
    assert formats.change(entry, 2) == "+.08 [.06, .10]"


def test_small_probabilities_are_not_zero():
    assert formats.probability(0.0002) == "< .001"
    assert formats.probability(0.034) == ".034"


def test_counts_name_what_they_count():
    sizes = {"facts": 1234, "relations": 1, "prompts": None}
    assert formats.counts(sizes) == "1,234 facts, 1 relation"
    assert formats.counts(None) == ""


def test_listing_joins_with_and():
    assert formats.listing([]) == ""
    assert formats.listing(["a"]) == "a"
    assert formats.listing(["a", "b", "c"]) == "a, b and c"


def test_json_in_a_page_cannot_end_its_script():
    safe = formats.safe_json('{"a": "</script><!--\u2028\u2029&"}')
    assert "<" not in safe and ">" not in safe and "\u2028" not in safe
    assert '"\\u003c/script\\u003e' in safe
