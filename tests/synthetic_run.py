"""A finished run with numbers of known distribution, for summary and report.

Every model answers a prompt with the fact's *main* answer with chance ``stay``, else
with a candidate drawn uniformly; the main answer is the right object with chance
``known``. So agreement and accuracy are expected as `expected_agreement` and
`expected_accuracy` say. Distances are drawn around ``gap``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from concord.results import Run, claim, open_run, write_json, write_part, write_text
from concord.study import resolve_study, study_to_yaml

CONTEXT_COUNT = 3
DATASETS = ("mrpc", "tapaco", "pararel")


@dataclass(frozen=True)
class Behaviour:
    """How a synthetic model answers."""

    stay: float
    known: float
    gap: float


def expected_agreement(behaviour: Behaviour, candidates: int) -> float:
    """Chance that two templates of a fact give the same answer."""
    other = (1 - behaviour.stay) / candidates
    return (behaviour.stay + other) ** 2 + (candidates - 1) * other**2


def expected_accuracy(behaviour: Behaviour, candidates: int) -> float:
    """Chance that an answer is right: main answers are right or uniformly wrong."""
    return behaviour.stay * behaviour.known + (1 - behaviour.stay) / candidates


def default_behaviours(models: int) -> list[Behaviour]:
    """The base, then tuned models of rising agreement, accuracy and gap."""
    return [
        Behaviour(min(0.6 + 0.08 * i, 0.97), min(0.5 + 0.05 * i, 0.9), 0.3 + 0.05 * i)
        for i in range(models)
    ]


def write_synthetic_run(
    folder: Path,
    *,
    models: int = 3,
    relations: int = 4,
    facts: int = 30,
    templates: int = 5,
    candidates: int = 8,
    layers: int = 4,
    seed: int = 0,
    contexts: Sequence[str] = ("study", "same"),
    datasets: Sequence[str] = DATASETS,
    analyses: Sequence[str] = ("facts", "representation", "noise"),
    behaviours: Sequence[Behaviour] | None = None,
    without: Sequence[tuple[str, str]] = (),
) -> Run:
    """Write study.yaml, run.json, audit.json and Parquet rows; no summary.

    Args:
        folder: Where the run goes.
        models: Base and tuned models together; labels base, tuned-1, tuned-2, ...
        relations: Relations of the facts.
        facts: Facts in each relation, one per subject.
        templates: Templates of each relation.
        candidates: Candidate objects of each relation.
        layers: Blocks of the models; hidden states 0 to this.
        seed: Of all draws; facts and right objects are the same for every model.
        contexts: Context sets; all but ``study`` for tuned models only.
        datasets: Data sets of the representation rows.
        analyses: Folders of rows to write.
        behaviours: One per model; see `default_behaviours`.
        without: Pairs (analysis, model label) to leave out.
    """
    behaviours = behaviours or default_behaviours(models)
    labels = ["base", *(f"tuned-{i}" for i in range(1, len(behaviours)))]
    _write_head(folder, labels, layers=layers, contexts=contexts, datasets=datasets)
    run = open_run(folder)
    world = _world(relations, facts, templates, candidates, seed)
    for index, label in enumerate(labels):
        names = [name for name in contexts if name == "study" or index > 0]
        for analysis in analyses:
            if (analysis, label) not in without:
                key = claim(run, analysis, label, {"synthetic": seed})
                rng = np.random.default_rng([seed, index + 1, len(analysis)])
                columns = _rows(
                    analysis, world, names, datasets, layers, behaviours[index], rng
                )
                table = pa.table(columns)
                write_part(run, analysis, label, name="00000", key=key, table=table)
    return run


def begin_synthetic_run(folder: Path, labels: list[str]) -> Run:
    """A run of facts in the study's contexts that has no rows yet."""
    _write_head(folder, labels, layers=4, contexts=("study",), datasets=())
    return open_run(folder)


def _rows(
    analysis: str,
    world: "_World",
    names: list[str],
    datasets: Sequence[str],
    layers: int,
    behaviour: Behaviour,
    rng: np.random.Generator,
) -> dict[str, Any]:
    if analysis == "facts":
        return _facts(world, names, behaviour, rng)
    if analysis == "noise":
        return _noise(world, rng)
    return _representation(world, names, datasets, layers, behaviour.gap, rng)


@dataclass(frozen=True)
class _World:
    """The facts; arrays have one entry per fact."""

    relation: np.ndarray
    fact: np.ndarray
    subject: np.ndarray
    right: np.ndarray
    templates: int
    candidates: int


def _world(
    relations: int, facts: int, templates: int, candidates: int, seed: int
) -> _World:
    rng = np.random.default_rng([seed, 0])
    relation = np.repeat([f"P{100 + i}" for i in range(relations)], facts)
    number = np.tile(np.arange(facts), relations)
    subject = np.array([f"Subject {i}" for i in number], dtype=object)
    fact = np.array(
        [f"{r}:{s}" for r, s in zip(relation, subject, strict=True)], dtype=object
    )
    right = rng.integers(candidates, size=len(fact))
    return _World(relation.astype(object), fact, subject, right, templates, candidates)


def _write_head(
    folder: Path,
    labels: list[str],
    *,
    layers: int,
    contexts: Sequence[str],
    datasets: Sequence[str],
) -> None:
    study = resolve_study(
        {
            "base": {"source": "synthetic/base", "label": "base"},
            "tuned": [{"source": f"synthetic/{x}", "label": x} for x in labels[1:]],
            "contexts": list(contexts),
            "representation": {"datasets": list(datasets)},
        }
    )
    write_text(folder / "study.yaml", study_to_yaml(study))
    described = {
        "kind": "folder",
        "revision": None,
        "dtype": "float32",
        "tokenizer": "b" * 64,
        "vocabulary_size": 512,
        "parameters": 1_000_000,
        "layers": layers,
        "device": "cpu",
    }
    info = {
        "base": labels[0],
        "tuned": labels[1:],
        "models": {
            label: {"source": f"synthetic/{label}", "fingerprint": f"{i:064x}"}
            | described
            for i, label in enumerate(labels)
        },
        "versions": {"concord": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "hardware": {"device": "cpu", "threads": 1},
        "seed": 0,
        "data": {name: {"counts": {}, "notes": []} for name in datasets},
        "timings": {},
    }
    write_json(folder / "run.json", info)
    write_json(folder / "audit.json", _audit(labels, contexts))


def _audit(labels: list[str], contexts: Sequence[str]) -> list[dict[str, Any]]:
    base_text, tag = (
        "Subject 0 was born in",
        "<|user|>\nPlease finish.\n<|assistant|>\n",
    )
    rows = []
    for name in contexts:
        for context in range(CONTEXT_COUNT):
            for label in labels[1:]:
                text = base_text if name == "same" else tag + base_text
                ids = [1, 5, 6, 7] if name == "same" else [1, 9, 9, 5, 6, 7]
                rows.append(
                    {
                        "analysis": "facts",
                        "contexts": name,
                        "context": context,
                        "base_text": base_text,
                        "base_ids": [1, 5, 6, 7],
                        "base_tokens": ["<s>", "Subject", " 0", " in"],
                        "tuned_model": label,
                        "tuned_text": text,
                        "tuned_ids": ids,
                        "tuned_tokens": [f"t{i}" for i in ids],
                        "same_ids": name == "same",
                    }
                )
    return rows


def _facts(
    world: _World, names: list[str], behaviour: Behaviour, rng: np.random.Generator
) -> dict[str, Any]:
    shape = (len(names) * CONTEXT_COUNT, world.templates, len(world.fact))
    knows = rng.random(shape[2]) < behaviour.known
    wrong = (
        world.right + rng.integers(1, world.candidates, shape[2])
    ) % world.candidates
    main = np.where(knows, world.right, wrong)
    stays = rng.random(shape) < behaviour.stay
    answer = np.where(stays, main, rng.integers(world.candidates, size=shape))
    context, template, fact = (axis.ravel() for axis in np.indices(shape))
    prediction = answer.ravel()
    runner_up = (prediction + 1) % world.candidates
    score = -rng.exponential(2, prediction.size)
    relation = world.relation[fact]
    right = world.right[fact]
    text = _objects(relation, prediction)
    return {
        "contexts": np.array(names, dtype=object)[context // CONTEXT_COUNT],
        "context": (context % CONTEXT_COUNT).astype(np.int8),
        "relation": relation,
        "fact": world.fact[fact],
        "subject": world.subject[fact],
        "object": _objects(relation, right),
        "template": template.astype(np.int16),
        "prompt": [
            f"{s} wording {t} is"
            for s, t in zip(world.subject[fact], template, strict=True)
        ],
        "prediction": text,
        "prediction_index": prediction.astype(np.int32),
        "score": score.astype(np.float32),
        "runner_up": _objects(relation, runner_up),
        "margin": rng.exponential(1, prediction.size).astype(np.float32),
        "margin_is_exact": np.ones(prediction.size, bool),
        "is_tie": np.zeros(prediction.size, bool),
        "is_correct": prediction == right,
        "is_trivial": fact % 7 == 0,
        "is_shadowing": prediction == 0,
        "free_prediction": np.where(prediction % 2 == 0, "the", text),
        "free_log_probability": (score / 2).astype(np.float32),
        "candidate_count": np.full(prediction.size, world.candidates, np.int32),
    }


def _objects(relation: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.array(
        [f"{r} object {i}" for r, i in zip(relation, index, strict=True)], dtype=object
    )


def _noise(world: _World, rng: np.random.Generator) -> dict[str, Any]:
    count = min(64, len(world.fact))
    score = -rng.exponential(2, count).astype(np.float32)
    prediction = rng.integers(world.candidates, size=count).astype(np.int32)
    moved = (rng.random(count) < 0.02).astype(np.int32)
    return {
        "contexts": np.full(count, "study", dtype=object),
        "context": np.zeros(count, np.int8),
        "fact": world.fact[:count],
        "template": np.zeros(count, np.int16),
        "prediction_index": prediction,
        "prediction_index_alone": (prediction + moved) % np.int32(world.candidates),
        "score": score,
        "score_alone": score + np.float32(0.001) * rng.uniform(-1, 1, count),
    }


def _representation(
    world: _World,
    names: list[str],
    datasets: Sequence[str],
    layers: int,
    gap: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    blocks = [
        _distances(world, dataset, name, context, layers, gap, rng)
        for dataset in datasets
        for name in names
        for context in range(CONTEXT_COUNT)
    ]
    return {
        key: pa.concat_arrays([block[key] for block in blocks]) for key in blocks[0]
    }


def _distances(
    world: _World,
    dataset: str,
    name: str,
    context: int,
    layers: int,
    gap: float,
    rng: np.random.Generator,
) -> dict[str, pa.Array]:
    units = len(world.fact)
    states = [("hidden", layer) for layer in range(layers + 1)]
    states += [("final", layers), ("centred", layers), ("lexical", -1)]
    unit = np.tile(np.arange(units), len(states))
    state = np.repeat([name for name, _ in states], units)
    layer = np.repeat([layer for _, layer in states], units)
    size = len(unit)
    depth = np.where(layer < 0, 1.0, (layer + 1) / (layers + 1))
    far = 0.2 + rng.normal(0, 0.03, size)
    near = 0.2 + gap * depth + rng.normal(0, 0.1, size)
    is_set = dataset != "mrpc"
    is_non = ~np.full(size, is_set) & (unit % 3 == 0)
    is_para = ~np.full(size, is_set) & ~is_non
    kind = np.where(is_non, "non_paraphrase", np.where(is_para, "paraphrase", "set"))
    headline = np.isin(state, ["final", "centred"])
    split = headline & (state == "final") & (dataset == "pararel")
    pararel = dataset == "pararel"
    units_by_name = world.fact[unit] if pararel else [f"{dataset}-{i}" for i in unit]

    def cells(values: np.ndarray, present: np.ndarray | bool) -> pa.Array:
        mask = ~np.broadcast_to(present, (size,))
        return pa.array(values.astype(np.float32), mask=mask)

    return {
        "dataset": _text([dataset] * size),
        "contexts": _text([name] * size),
        "context": pa.array(np.full(size, context, np.int8)),
        "unit": _text(units_by_name),
        "cluster": _text(
            world.subject[unit] if pararel else [f"{dataset}-{i // 2}" for i in unit]
        ),
        "relation": _text(world.relation[unit] if pararel else [None] * size),
        "kind": _text(kind),
        "state": _text(state),
        "layer": pa.array(layer.astype(np.int16)),
        "cos_para": cells(near, ~is_non),
        "cos_nonpara": cells(far, ~is_para),
        "auc": cells(rng.beta(8, 2, size), headline & ~is_non),
        "pair_count": pa.array(np.full(size, 1 if not is_set else 10, np.int32)),
        "cos_para_other_last": cells(near - 0.1, split & (unit % 2 == 0)),
        "cos_same_relation": cells(far + 0.1, split),
        "cos_same_subject": cells(far + 0.05, split & (unit % 2 == 1)),
        "cos_neither": cells(far, split),
    }


def _text(values: Sequence[str | None] | np.ndarray) -> pa.Array:
    return pa.array(list(values), pa.string())
