"""Everything of a study that can be known before a model is loaded.

Data are read, models and tokenizers looked at, and the first prompt of every context is
laid out as token ids of base and tuned side by side: what cannot work fails here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from concord.analyses.representation import bytes_on_disk
from concord.data.collection import Collection, read_collection
from concord.data.draw import draw_facts
from concord.data.training_sets import TrainingSet, questions_per_training
from concord.endpoints.contexts import served_contexts
from concord.endpoints.forecast import forecasts
from concord.endpoints.gather import look_at_endpoints, refuse_unanswerable
from concord.endpoints.offer import ServedModel
from concord.errors import ModelError
from concord.models.contexts import Context, Task, contexts_of
from concord.models.encoder import Encoder
from concord.models.load import tokenizer_fingerprint
from concord.models.placement import check_placement
from concord.models.prompts import encode_in_context, encoder_of
from concord.models.self_check import require_plain_weights
from concord.models.sources import (
    check_source,
    read_config,
    read_tokenizer,
    resolve_source,
)
from concord.models.tokens import decoder_start_ids
from concord.study import MECHANISM, ModelEntry, Study, is_endpoint

_ANALYSIS_TASKS: tuple[tuple[str, Task], ...] = (
    ("facts", "facts"),
    ("representation", "sentences"),
    ("representation", "facts"),
    ("choices", "choices"),
    ("answers", "answers"),
    *((name, "facts") for name in MECHANISM),
)
_SAMPLE = 32
"""Prompts encoded to estimate how many tokens a study takes."""
_BLOCK = 1024
"""Prompts whose ids are compared together."""


@dataclass(frozen=True)
class Plan:
    """What will be measured, and the prompts it starts with."""

    study: Study
    data: Collection
    audit: list[dict[str, Any]]
    """First prompt of every context, base and tuned side by side."""
    workload: list[dict[str, Any]]
    """Prompts and estimated tokens by model and analysis."""
    served: dict[str, ServedModel] = field(default_factory=dict)
    """Models behind an address, by their labels."""
    scratch_bytes: int = 0
    """Disk that is needed only while the study is measured, beside that of its rows."""


Asked = Encoder | ServedModel
"""What is known of how a model gets a prompt: its ids, or the text that is sent."""


def plan_study(study: Study) -> Plan:
    """Read the data, look at every model, lay out the first prompts.

    Raises:
        DataError: A data file is missing, malformed or empty.
        ModelError: A model cannot be loaded, or its prompts cannot be compared.
    """
    refuse_unanswerable(study)
    encoders = {
        entry.label: _checked_encoder(entry, study)
        for entry in study.models
        if not is_endpoint(entry.source)
    }
    data = read_collection(study)
    served = look_at_endpoints(study)
    texts = _texts_of_all(data, study)
    audit = [
        row
        for task, (analysis, asked) in _by_task(texts).items()
        for entry in study.tuned
        for row in _audit(analysis, task, entry, encoders | served, asked, study)
    ]
    workload = [
        _workload(analysis, task, entry, encoders[entry.label], asked, study)
        for entry in study.models
        if entry.label in encoders
        for (analysis, task), asked in texts.items()
    ]
    workload += [row for one in served.values() for row in forecasts(one, study, data)]
    if "finetuned" in study.analyses:
        first = data.training_sets[0]
        audit += [_task_audit(first, entry, encoders, study) for entry in study.tuned]
        workload += [
            _task_workload(entry, encoders[entry.label], data, study)
            for entry in study.models
        ]
    scratch = _scratch_bytes(data, study)
    return Plan(study, data, audit, _merged(workload), served, scratch)


def _merged(workload: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each model and analysis, whatever kinds of prompts it has."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for row in workload:
        key = row["model"], row["analysis"]
        known = merged.get(key, {"prompts": 0, "tokens": 0})
        added = {name: known[name] + row[name] for name in ("prompts", "tokens")}
        merged[key] = {**row, **added}
    return list(merged.values())


def _texts_of_all(data: Collection, study: Study) -> dict[tuple[str, Task], list[str]]:
    """What each analysis puts into the contexts of a task, where it is anything."""
    texts: dict[tuple[str, Task], list[str]] = {
        (name, task): _texts(name, task, _asked(name, data, study))
        for name, task in _ANALYSIS_TASKS
        if name in study.analyses
    }
    return {key: found for key, found in texts.items() if found}


def _by_task(
    texts: Mapping[tuple[str, Task], list[str]],
) -> dict[Task, tuple[str, list[str]]]:
    """Task -> the first analysis that asks it, and the texts of all that do."""
    found: dict[Task, tuple[str, list[str]]] = {}
    for (name, task), asked in texts.items():
        first, known = found.get(task, (name, []))
        found[task] = first, list(dict.fromkeys(known + asked))
    return found


def _refuse_quantised(entry: ModelEntry, config: Any, study: Study) -> None:
    """The mechanism reads updates that add up, which rounded weights do not give."""
    if any(name in study.analyses for name in MECHANISM):
        require_plain_weights(config, label=entry.label)


def _refuse_encoder_decoder(entry: ModelEntry, encoder: Encoder, study: Study) -> None:
    """The mechanism is read where a prompt is continued: in decoder-only models."""
    asked = [name for name in study.analyses if name in MECHANISM]
    if encoder.is_encoder_decoder and asked:
        raise ModelError(
            f"{entry.label}: found an encoder-decoder model ({encoder.family}); "
            f"{', '.join(asked)} need a decoder-only one, whose prompt and prediction "
            "share one stream; leave these out of --analysis"
        )


def _check_sentinel(entry: ModelEntry, encoder: Encoder) -> None:
    """A gap can be filled by an encoder-decoder model whose tokenizer knows it."""
    if not entry.sentinel:
        return
    if not encoder.is_encoder_decoder:
        raise ModelError(
            f"{entry.label}: found a decoder-only model ({encoder.family}) with "
            "sentinel: true; only encoder-decoder models fill gaps; leave it out"
        )
    try:
        decoder_start_ids(encoder, 0, sentinel=True)
    except ModelError as error:
        raise ModelError(f"{entry.label}: {error}") from error


def _checked_encoder(entry: ModelEntry, study: Study) -> Encoder:
    source = resolve_source(entry, study.base)
    check_source(
        source,
        trust_remote_code=study.trust_remote_code,
        allow_pickle=study.allow_pickle,
    )
    config = read_config(source, trust_remote_code=study.trust_remote_code)
    _refuse_quantised(entry, config, study)
    check_placement(study, source, config)
    tokenizer = read_tokenizer(source, trust_remote_code=study.trust_remote_code)
    encoder = encoder_of(entry, tokenizer, config)
    _refuse_encoder_decoder(entry, encoder, study)
    _check_sentinel(entry, encoder)
    return encoder


def _audit(
    analysis: str,
    task: Task,
    entry: ModelEntry,
    encoders: Mapping[str, Asked],
    texts: Sequence[str],
    study: Study,
) -> list[dict[str, Any]]:
    """One row for each context of a tuned model and the base's of the same number."""
    base = study.base
    base_contexts = _contexts(base, encoders[base.label], task, study)
    contexts = _contexts(entry, encoders[entry.label], task, study)
    if any(context.contexts == "same" for context in contexts):
        _require_same(entry, base_contexts, encoders, texts, study)
    rows = []
    for context in contexts:
        partner = base_contexts[min(context.index, len(base_contexts) - 1)]
        base_side = _side("base", base, partner, texts[0], encoders)
        tuned_side = _side("tuned", entry, context, texts[0], encoders)
        is_same = base_side["base_ids"] == tuned_side["tuned_ids"]
        is_seen = bool(base_side["base_ids"] and tuned_side["tuned_ids"])
        rows.append(
            {
                "analysis": analysis,
                "contexts": context.contexts,
                "context": context.index,
                "tuned_model": entry.label,
                **base_side,
                **tuned_side,
                # Behind an address nobody sees them.
                "same_ids": is_same if is_seen else None,
            }
        )
    return rows


def _side(
    side: str,
    entry: ModelEntry,
    context: Context,
    sentence: str,
    encoders: Mapping[str, Asked],
) -> dict[str, Any]:
    encoder = encoders[entry.label]
    if isinstance(encoder, ServedModel):
        text = context.wrap(sentence)
        return {f"{side}_text": text, f"{side}_ids": [], f"{side}_tokens": []}
    prompt = encode_in_context(encoder, context, [sentence], label=entry.label)[0]
    return {
        f"{side}_text": prompt.text,
        f"{side}_ids": list(prompt.ids),
        f"{side}_tokens": encoder.tokenizer.convert_ids_to_tokens(list(prompt.ids)),
    }


def _require_same(
    entry: ModelEntry,
    contexts: Sequence[Context],
    encoders: Mapping[str, Asked],
    texts: Sequence[str],
    study: Study,
) -> None:
    """Refuse a same-prompt control whose prompts are not the same ids.

    One tokenizer and one policy give the same ids; otherwise every prompt is compared.

    Args:
        entry: The tuned model.
        contexts: The base's, in which both are asked.
        encoders: How each model gets its ids.
        texts: What stands in these contexts.
        study: Names the base.
    """
    base = study.base
    ours, theirs = encoders[base.label], encoders[entry.label]
    if isinstance(ours, ServedModel) or isinstance(theirs, ServedModel):
        return
    prints = [tokenizer_fingerprint(each.tokenizer) for each in (ours, theirs)]
    if prints[0] == prints[1] and ours.bos == theirs.bos:
        return
    blocks = [texts[first : first + _BLOCK] for first in range(0, len(texts), _BLOCK)]
    for context, block in product(contexts, blocks):
        pairs = zip(
            encode_in_context(ours, context, block, label=base.label),
            encode_in_context(theirs, context, block, label=entry.label),
            strict=True,
        )
        for one, other in pairs:
            if one.ids != other.ids:
                raise ModelError(
                    f"{entry.label}: its tokenizer makes {list(other.ids)} of "
                    f"{one.text!r}, the base's makes {list(one.ids)}; contexts 'same' "
                    "needs the same ids; name one tokenizer for both (tokenizer=), or "
                    "give --contexts study"
                )


def _contexts(
    entry: ModelEntry, encoder: Asked, task: Task, study: Study
) -> tuple[Context, ...]:
    if isinstance(encoder, ServedModel):
        return served_contexts(encoder, study, task)
    return contexts_of(
        entry,
        encoder.tokenizer,
        kind="base" if entry is study.base else "tuned",
        task=task,
        names=study.contexts,
        base_entry=study.base,
    )


def _texts(analysis: str, task: Task, data: Collection) -> list[str]:
    """Every text that an analysis puts into the contexts of a task.

    Each stands once; in representation once in each data set, for these go by alone.
    """
    if analysis == "representation":
        own = [one for one in data.sentences if one.is_of_facts == (task == "facts")]
        return [text for one in own for text in dict.fromkeys(one.sentences)]
    if task == "facts":
        relations = data.facts.relations if data.facts else ()
        texts = (
            prompt
            for relation in relations
            for fact in relation.facts
            for _, prompt in relation.prompts_of(fact)
        )
    else:
        datasets = data.choices if task == "choices" else data.answers
        texts = (prompt for dataset in datasets for prompt in dataset.prompts)
    return list(dict.fromkeys(texts))


def _asked(analysis: str, data: Collection, study: Study) -> Collection:
    """The data of which an analysis of the mechanism may measure a sample."""
    limit = getattr(study, analysis).facts if analysis in MECHANISM else None
    if limit is None or data.facts is None:
        return data
    return replace(data, facts=draw_facts(data.facts, limit, study.seed))


def _workload(
    analysis: str,
    task: Task,
    entry: ModelEntry,
    encoder: Encoder,
    texts: Sequence[str],
    study: Study,
) -> dict[str, Any]:
    """Prompts of one analysis of one model; their tokens estimated from a sample."""
    contexts = _contexts(entry, encoder, task, study)
    sample = texts[:: max(1, len(texts) // _SAMPLE)]
    sampled = [
        len(prompt.ids)
        for context in contexts
        for prompt in encode_in_context(encoder, context, sample, label=entry.label)
    ]
    mean_length = sum(sampled) / len(sampled) if sampled else 0.0
    prompt_count = len(texts) * len(contexts)
    return {
        "model": entry.label,
        "analysis": analysis,
        "contexts": len(contexts),
        "prompts": prompt_count,
        "tokens": round(prompt_count * mean_length),
    }


def _scratch_bytes(data: Collection, study: Study) -> int:
    """The largest part of representation, once for each worker that the study names.

    A family whose config does not tell its size the usual way counts for nothing.
    """
    if "representation" not in study.analyses:
        return 0
    sources = [resolve_source(entry, study.base) for entry in study.models]
    configs: list[Any] = [
        read_config(source, trust_remote_code=study.trust_remote_code)
        for source in sources
    ]
    sizes = [
        bytes_on_disk(
            dataset,
            getattr(config, "num_hidden_layers", 0),
            getattr(config, "hidden_size", 0),
        )
        for config in configs
        for dataset in data.sentences
    ]
    return max(sizes, default=0) * (study.workers or 1)


def _task_audit(
    first: TrainingSet,
    entry: ModelEntry,
    encoders: dict[str, Encoder],
    study: Study,
) -> dict[str, Any]:
    """The first text of a task, the same plain one for base and tuned model."""
    plain, base = Context("study", 0, "{}"), study.base
    base_side = _side("base", base, plain, first.texts[0], encoders)
    tuned_side = _side("tuned", entry, plain, first.texts[0], encoders)
    return {
        "analysis": "finetuned",
        "contexts": "study",
        "context": 0,
        "tuned_model": entry.label,
        **base_side,
        **tuned_side,
        "same_ids": base_side["base_ids"] == tuned_side["tuned_ids"],
    }


def _task_workload(
    entry: ModelEntry, encoder: Encoder, data: Collection, study: Study
) -> dict[str, Any]:
    """Texts read in all trainings if none stops early; tokens from a sample."""
    config, plain = study.finetuned, Context("study", 0, "{}")
    prompts, tokens = 0, 0.0
    for one in data.training_sets:
        trainings = config.seeds * len(config.rates_of(one.layout.rate))
        texts = trainings * questions_per_training(
            one, epochs=config.epochs, batch=config.batch
        )
        sample = one.texts[:: max(1, len(one.texts) // _SAMPLE)]
        ids = encode_in_context(encoder, plain, sample, label=entry.label)
        prompts += texts
        tokens += texts * sum(len(prompt.ids) for prompt in ids) / len(ids)
    return {
        "model": entry.label,
        "analysis": "finetuned",
        "contexts": 1,
        "prompts": prompts,
        "tokens": round(tokens),
    }
