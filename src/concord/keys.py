"""What the rows of one analysis of one model are made from, by name.

Source:
    The key of lm-evaluation-harness's cache leaves the model out, so a tuned model can
    be served its base's scores; here any change of an input is another key.
"""

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase

from concord.analyses.part import Measured
from concord.data.collection import Collection
from concord.endpoints.connection import Connection
from concord.endpoints.contexts import served_contexts
from concord.endpoints.offer import ServedModel
from concord.models.contexts import Context, Task, contexts_of
from concord.models.inputs import adapter_fields, config_fields
from concord.models.load import LoadedModel, tokenizer_fingerprint
from concord.models.sources import read_config, read_tokenizer, resolve_source
from concord.plan import Plan
from concord.results import Run, claimed_key, fingerprint, require_same_key
from concord.scoring.records import SCORING_VERSION
from concord.study import (
    HOW_OF_A_MODEL,
    MECHANISM,
    ModelEntry,
    Study,
    what_is_measured,
)

Asked = PreTrainedTokenizerBase | ServedModel
"""What the contexts of a model hang on besides the study."""
_TASKS: dict[str, tuple[Task, ...]] = {
    "choices": ("choices",),
    "answers": ("answers",),
    "finetuned": (),
    **{name: ("facts",) for name in ("facts", "noise", *MECHANISM)},
}
"""The texts that built-in analyses put into contexts; `representation` has several."""
_NOT_MEASURED_BY = ("source", "revision", "adapter", "diff", "endpoint_notes")
_NOT_PROMPTS = (
    *("source", "revision", "peft", "tokenizer", "label"),
    *sorted(HOW_OF_A_MODEL),
)


def run_key(
    name: str,
    entry: ModelEntry,
    info: Mapping[str, Any],
    data: Collection,
    study: Study,
    asked: Asked,
) -> dict[str, Any]:
    """Everything the rows of one analysis of one model depend on, by name.

    Args:
        name: Of the analysis.
        entry: The model, as the study names it.
        info: What is known of the model.
        data: The data measured on.
        study: The study.
        asked: The model's tokenizer, or its server.
    """
    settings = what_is_measured(study.model_dump(mode="json"))
    prompts = entry.model_dump(mode="json", exclude=set(_NOT_PROMPTS))
    base_prompts = study.base.model_dump(mode="json", exclude=set(_NOT_PROMPTS))
    return {
        "analysis": name,
        "config": settings.get(name, {}),
        "facts": settings["facts"],
        "contexts": {
            "sets": settings["contexts"],
            **_contexts(name, entry, asked, data, study),
        },
        "seed": settings["seed"],
        "limit": settings["limit"],
        "prompts": {**prompts, "base": base_prompts},
        "model": {k: v for k, v in info.items() if k not in _NOT_MEASURED_BY},
        "data": dict(data.fingerprints()),
        "versions": {
            "scoring": SCORING_VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def asked_of(model: Measured) -> Asked:
    """The tokenizer or the server of a model that is measured."""
    if isinstance(model, Connection):
        return model.served
    assert isinstance(model, LoadedModel)
    return model.tokenizer


def read_asked(entry: ModelEntry, plan: Plan) -> Asked:
    """The same of a model that is not loaded."""
    served = plan.served.get(entry.label)
    if served is not None:
        return served
    source = resolve_source(entry, plan.study.base)
    return read_tokenizer(source, trust_remote_code=plan.study.trust_remote_code)


def require_same_inputs(run: Run, plan: Plan) -> None:
    """Compare all that is known before a model is loaded with what lies in a run.

    Raises:
        ResultsError: Rows were made from something else; the fields are named.
    """
    study = plan.study
    for entry in study.models:
        keys = {name: claimed_key(run, name, entry.label) for name in study.analyses}
        if not any(keys.values()):
            continue
        asked = read_asked(entry, plan)
        foreseen = _foreseen(entry, asked, study)
        for name, found in keys.items():
            if found is not None:
                info = {**found.get("model", {}), **foreseen}
                key = run_key(name, entry, info, plan.data, study, asked)
                require_same_key(run, name, entry.label, key)


def _foreseen(entry: ModelEntry, asked: Asked, study: Study) -> dict[str, Any]:
    """What loading would tell of a model, as far as it can be known without."""
    if isinstance(asked, ServedModel):
        return asked.info
    source = resolve_source(entry, study.base)
    config = read_config(source, trust_remote_code=study.trust_remote_code)
    return {
        "tokenizer": tokenizer_fingerprint(asked),
        "config": config_fields(config),
        "adapter_config": adapter_fields(source),
    }


def _contexts(
    name: str, entry: ModelEntry, asked: Asked, data: Collection, study: Study
) -> dict[str, Any]:
    """The texts that an analysis puts around its prompts, with their flags."""
    tasks = _tasks_of(name, data)
    if tasks is None:
        template = getattr(asked, "chat_template", None)
        return {"chat_template": template and fingerprint(template)}
    return {
        task: {
            f"{context.contexts} {context.index}": {
                "text": context.text,
                "has_special_tokens": context.has_special_tokens,
                "ends_in_gap": context.ends_in_gap,
            }
            for context in _contexts_of(entry, asked, task, study)
        }
        for task in tasks
    }


def _tasks_of(name: str, data: Collection) -> tuple[Task, ...] | None:
    """None of an analysis of one's own: nobody knows which contexts it takes."""
    if name != "representation":
        return _TASKS.get(name)
    return tuple("facts" if one.is_of_facts else "sentences" for one in data.sentences)


def _contexts_of(
    entry: ModelEntry, asked: Asked, task: Task, study: Study
) -> tuple[Context, ...]:
    if isinstance(asked, ServedModel):
        return served_contexts(asked, study, task)
    return contexts_of(
        entry,
        asked,
        kind="base" if entry is study.base else "tuned",
        task=task,
        names=study.contexts,
        base_entry=study.base,
    )
