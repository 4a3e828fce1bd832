"""What a run records of the models that come with concord."""

from concord.provenance import _embedded_family
from concord.study import Study


def test_embedded_models_are_recorded_with_what_they_were_tuned_on():
    study = Study.model_validate(
        {
            "base": {"source": "embedded:base", "label": "before"},
            "tuned": [
                {"source": "embedded:terse", "label": "after"},
                {"source": "somewhere/else", "label": "other"},
            ],
        }
    )
    found = _embedded_family(study)
    assert list(found) == ["before", "after"]
    assert found["after"]["kind"] == "adapter"
    assert "bare object" in found["after"]["description"]
