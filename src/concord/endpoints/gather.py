"""The endpoints of a study: refused where they cannot help, else looked at one by one.

What no endpoint can answer is refused before any server is asked.
"""

from dataclasses import replace

from concord.endpoints.contexts import can_repeat_prompts
from concord.endpoints.offer import ServedModel
from concord.endpoints.probe import serve
from concord.errors import ModelError
from concord.study import Study, is_endpoint

ASKABLE = ("facts", "noise", "choices")
"""Analyses of what a model says; the others look inside it or train it."""
_NORMALISATIONS = ("acc", "acc_norm", "acc_bytes", "acc_tokens")


def refuse_unanswerable(study: Study) -> None:
    """Refuse analyses and settings that need more than a server tells.

    Raises:
        ModelError: The study asks an endpoint for one of them.
    """
    entry = next((one for one in study.models if is_endpoint(one.source)), None)
    if entry is None:
        return
    asked = [name for name in study.analyses if name not in ASKABLE]
    if asked:
        raise ModelError(
            f"{entry.label}: found an endpoint, but {', '.join(asked)} need a model "
            "that is loaded here; give --analysis facts,choices, or the model's folder "
            "or hub id"
        )
    if entry.peft or entry.tokenizer or entry.revision:
        raise ModelError(
            f"{entry.label}: found an endpoint with peft, tokenizer or revision; its "
            "server alone decides on these; leave them out"
        )
    config = study.facts
    if config.normalisation not in _NORMALISATIONS:
        raise ModelError(
            f"{entry.label}: normalisation {config.normalisation} needs scores after "
            f"an empty prompt; endpoints allow {', '.join(_NORMALISATIONS)}"
        )
    if config.candidate_end == "eos":
        raise ModelError(
            f"{entry.label}: an end token cannot be put behind a text sent to an "
            'endpoint; use candidate_end "" or "."'
        )


def look_at_endpoints(study: Study) -> dict[str, ServedModel]:
    """Every endpoint of a study, probed, by its label.

    Raises:
        ModelError: One of them cannot be used, or not for what is asked.
    """
    served: dict[str, ServedModel] = {}
    for entry in study.models:
        if is_endpoint(entry.source):
            kind = "base" if entry is study.base else "tuned"
            served[entry.label] = serve(entry, kind)
            _refuse_facts(served[entry.label], study)
    base = served.get(study.base.label)
    base_route = base.offer.route if base else None
    return {
        label: replace(
            one, repeats_base=can_repeat_prompts(one.offer.route, base_route)
        )
        for label, one in served.items()
    }


def _refuse_facts(served: ServedModel, study: Study) -> None:
    if served.offer.route == "decisions" and "facts" in study.analyses:
        raise ModelError(
            f"{served.label}: facts are texts to be continued, but api: decisions "
            "answers questions with options only; give --analysis choices, or "
            "another api"
        )
