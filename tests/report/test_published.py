"""The study's printed numbers."""

from concord.report.published import published_numbers


def test_printed_numbers_are_those_of_the_study():
    printed = published_numbers({"preset": "fierro2024"})
    assert printed["llama-7b", "representation.pararel.gap"] == 0.474
    assert printed["llama-7b", "facts.agreement"] == 0.819
    assert printed["flan-t5-xl", "facts.accuracy"] > 0


def test_other_studies_have_none():
    assert published_numbers({"preset": "demo"}) == {}
    assert published_numbers({}) == {}


def test_agreement_follows_accuracy_over_the_ten_tuned_models():
    # the study's own confound: r = .75 over the ten
    printed = published_numbers({"preset": "fierro2024"})
    models = {m for m, _ in printed if m.endswith("-7b") and m != "llama-7b"}
    models -= {"falcon-7b"}
    pairs = [
        (printed[m, "facts.accuracy"], printed[m, "facts.agreement"]) for m in models
    ]
    assert len(pairs) == 10
    x, y = (sum(part) / 10 for part in zip(*pairs, strict=True))
    cross = sum((a - x) * (b - y) for a, b in pairs)
    squares = sum((a - x) ** 2 for a, _ in pairs) * sum((b - y) ** 2 for _, b in pairs)
    assert round(cross / squares**0.5, 2) == 0.75
