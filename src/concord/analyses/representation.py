"""Are paraphrases closer to each other than to other sentences, and in which layer?

The gap is the mean cosine of paraphrases minus that of non-paraphrases. The headline
takes the last token's state after the final norm; every layer is kept as a curve.
Beside it stand what the wording alone would give (lexical gap: do the last tokens
coincide?), the gap after the mean state is subtracted, and the chance that a paraphrase
pair is closer than a non-paraphrase pair (AUC), which does not hang on the scale of
cosines.

It cannot show that a closer state is used: nothing here is intervened on.

Source: Fierro et al. (2024), section 2, eqs 4 to 8, Tables 1 and 4, Figures 4 and 7.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from concord.analyses.budgets import remembered_budget
from concord.analyses.geometry import SetCosines, codes, on_disk
from concord.analyses.part import Part, Task
from concord.analyses.task_contexts import task_contexts
from concord.data.records import SentenceData
from concord.metrics.distance import placements
from concord.models.contexts import Context
from concord.models.prompts import encode_in_context, encoder_of
from concord.models.states import as_unit, prompt_states

CHUNK_PROMPTS = 1024
"""Prompts whose states are in memory together."""
Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Sentences:
    """A data set in one context: distinct prompts, and the units made of them."""

    dataset: SentenceData
    context: Context
    prompts: list[Tokens]
    """Distinct by ids: each is run once."""
    members: list[Int[np.ndarray, " _member"]]
    """For each unit, its prompts; a repeat stands twice."""
    units: pa.Table
    """Columns unit, cluster, relation and kind."""


def run(task: Task) -> Iterator[Part]:
    """One part for each data set and context."""
    for dataset in task.data.sentences:
        for context in dataset_contexts(task, dataset):
            name = f"{dataset.name}-{context.contexts}-{context.index}"
            if name in task.finished:
                task.advance(len(set(dataset.sentences)))
            else:
                yield Part(name, _measure(task, _encode(task, dataset, context)))


def bytes_on_disk(dataset: SentenceData, layer_count: int, width: int) -> int:
    """What a part takes while it is measured, about: means of units, final states."""
    unit_count = len(dataset.sets) + len(dataset.pairs)
    states = layer_count + 3  # h_0 to h_L, after the final norm, centred.
    return 4 * width * (unit_count * states + len(set(dataset.sentences)))


def dataset_contexts(task: Task, dataset: SentenceData) -> tuple[Context, ...]:
    """The contexts of a data set: filled templates have those of facts (Table 3).

    A gap to be filled is part of the question, not of the sentence: left out.
    """
    found = task_contexts(task, "facts" if dataset.is_of_facts else "sentences")
    return tuple(replace(context, ends_in_gap=False) for context in found)


def _encode(task: Task, dataset: SentenceData, context: Context) -> _Sentences:
    model = task.model
    encoder = encoder_of(model.entry, model.tokenizer, model.network.config)
    texts = list(dict.fromkeys(dataset.sentences))
    encoded = encode_in_context(
        encoder, context, texts, label=model.label, vocabulary=model.vocabulary_size
    )
    prompts = list(dict.fromkeys(prompt.ids for prompt in encoded))
    task.advance(len(texts) - len(prompts))  # Texts of equal ids are run once.
    number = {ids: index for index, ids in enumerate(prompts)}
    place = {t: number[p.ids] for t, p in zip(texts, encoded, strict=True)}
    sets = dataset.sets
    groups = [group.sentences for group in sets]
    groups += [(pair.first, pair.second) for pair in dataset.pairs]
    members = [np.array([place[text] for text in group]) for group in groups]
    kinds = ["set"] * len(sets) + [
        "paraphrase" if pair.is_paraphrase else "non_paraphrase"
        for pair in dataset.pairs
    ]
    ids = [group.id for group in sets] + [pair.id for pair in dataset.pairs]
    clusters = [group.cluster or group.id for group in sets] + ids[len(sets) :]
    relations = [group.relation for group in sets] + [None] * len(dataset.pairs)
    units = pa.table(
        {
            "unit": pa.array(ids, pa.string()),
            "cluster": pa.array(clusters, pa.string()),
            "relation": pa.array(relations, pa.string()),
            "kind": pa.array(kinds, pa.string()),
            "pair_count": pa.array([_pair_count(rows) for rows in members], pa.int32()),
        }
    )
    return _Sentences(dataset, context, prompts, members, units)


def _pair_count(rows: Sequence[int] | np.ndarray) -> int:
    return len(rows) * (len(rows) - 1) // 2


def _measure(task: Task, sentences: _Sentences) -> pa.Table:
    """All rows of one data set in one context."""
    layers, final = _layer_cosines(task, sentences)
    tables = [
        _table(sentences, state="hidden", layer=layer, cosines=layers, index=layer)
        for layer in range(layers.within.shape[1] - 1)
    ]
    last = len(tables) - 1
    tables.append(_final(task, sentences, layers, final, layer=last))
    tables.append(_centred(task, sentences, final, layer=last))
    tables.append(_lexical(task, sentences))
    return pa.concat_tables(tables)


@dataclass(frozen=True, eq=False)
class _Cosines:
    within: Float[np.ndarray, "unit state"]
    across: Float[np.ndarray, "unit state"]
    collected: SetCosines


def _layer_cosines(task: Task, sentences: _Sentences) -> tuple[_Cosines, np.ndarray]:
    """Cosines in every layer (the last column after the final norm), and final states.

    Units go by in chunks; a prompt of several chunks is kept until the last of them, so
    each prompt is run once.
    """
    chunks = list(_chunks(sentences.members))
    last_use = {
        int(prompt): number
        for number, chunk in enumerate(chunks)
        for rows in sentences.members[chunk]
        for prompt in rows
    }
    collected: SetCosines | None = None
    final: np.ndarray | None = None
    kept: dict[int, np.ndarray] = {}
    for number, chunk in enumerate(chunks):
        members = sentences.members[chunk]
        needed = sorted(
            {int(p) for rows in members for p in rows if int(p) not in kept}
        )
        for batch in _states(task, sentences, needed):
            for index, layers, state in batch:
                kept[index] = layers
                if final is None:
                    shape = (len(sentences.prompts), len(state))
                    final = on_disk(shape, task.workspace)
                final[index] = state
        if collected is None:
            states, width = next(iter(kept.values())).shape
            collected = _collector(task, sentences, states, width)
        order = {index: row for row, index in enumerate(kept)}
        vectors = np.stack(list(kept.values()))
        rows = [np.array([order[int(p)] for p in unit]) for unit in members]
        collected.add(chunk.start, rows, vectors)
        kept = {p: v for p, v in kept.items() if last_use[p] > number}
    assert collected is not None and final is not None
    return _finished(collected, sentences), final


def _collector(
    task: Task, sentences: _Sentences, states: int, width: int
) -> SetCosines:
    return SetCosines(len(sentences.members), states, width, folder=task.workspace)


def _finished(collected: SetCosines, sentences: _Sentences) -> _Cosines:
    across = collected.across(_not_compared(sentences))
    return _Cosines(collected.within(), across, collected)


def _not_compared(sentences: _Sentences) -> Int[np.ndarray, " unit"] | None:
    """Sets that share a sentence are no non-paraphrases of each other.

    For facts the cluster is the subject, and other facts of a subject count as
    non-paraphrases: nothing but the set itself is left out.
    """
    if sentences.dataset.is_of_facts:
        return None
    return codes(sentences.units["cluster"].to_pylist())


def _chunks(members: list[np.ndarray]) -> Iterator[slice]:
    start = size = 0
    for index, rows in enumerate(members):
        if size and size + len(rows) > CHUNK_PROMPTS:
            yield slice(start, index)
            start, size = index, 0
        size += len(rows)
    if size:
        yield slice(start, len(members))


def _states(
    task: Task, sentences: _Sentences, needed: list[int]
) -> Iterator[list[tuple[int, np.ndarray, np.ndarray]]]:
    """Prompt, unit vectors of all layers and the final state, and the final state."""
    batch_size = task.study.batch_size
    found = prompt_states(
        task.model,
        [sentences.prompts[index] for index in needed],
        representation=task.study.representation.encoder_decoder,
        row_limit=None if batch_size == "auto" else batch_size,
        budget=remembered_budget(task, "states"),
    )
    for states in found:
        unit = np.concatenate(
            [as_unit(states.hidden), as_unit(states.final)[:, None]], axis=1
        )
        final = states.final.numpy()
        task.advance(len(states.indices))
        yield [
            (needed[index], unit[row], final[row])
            for row, index in enumerate(states.indices)
        ]


def _final(
    task: Task,
    sentences: _Sentences,
    cosines: _Cosines,
    final: np.ndarray,
    *,
    layer: int,
) -> pa.Table:
    """The headline rows: final state, with AUC and kinds of pairs beside."""
    columns = _pair_columns(task, sentences, final)
    units = sentences.units
    if sentences.dataset.is_of_facts:
        parts = cosines.collected.across_parts(
            codes(units["relation"].to_pylist()),
            codes(units["cluster"].to_pylist()),
            state=-1,
        )
        columns |= {f"cos_{name}": values for name, values in parts.items()}
    return _table(
        sentences, state="final", layer=layer, cosines=cosines, index=-1, **columns
    )


def _centred(
    task: Task, sentences: _Sentences, final: np.ndarray, *, layer: int
) -> pa.Table:
    """The same after the mean state over all prompts is subtracted."""
    mean = final.mean(axis=0, dtype=np.float64).astype(np.float32)
    collected = _collector(task, sentences, 1, final.shape[1])
    for chunk in _chunks(sentences.members):
        members = sentences.members[chunk]
        prompts: np.ndarray = np.concatenate(members)
        needed, places = np.unique(prompts, return_inverse=True)
        rows = np.split(places, np.cumsum([len(unit) for unit in members])[:-1])
        collected.add(chunk.start, rows, _unit(final[needed] - mean)[:, None])
    columns = _pair_columns(task, sentences, final, mean)
    return _table(
        sentences,
        state="centred",
        layer=layer,
        cosines=_finished(collected, sentences),
        index=0,
        **columns,
    )


def _lexical(task: Task, sentences: _Sentences) -> pa.Table:
    """What the last token alone gives: its one-hot vector in place of the state."""
    last = codes([str(prompt[-1]) for prompt in sentences.prompts])
    collected = _collector(task, sentences, 1, int(last.max()) + 1)
    for chunk in _chunks(sentences.members):
        members = sentences.members[chunk]
        tokens = last[np.concatenate(members)]
        vectors = np.zeros((len(tokens), 1, int(last.max()) + 1), np.float32)
        vectors[np.arange(len(tokens)), 0, tokens] = 1
        sizes = np.cumsum([len(unit) for unit in members])[:-1]
        collected.add(chunk.start, np.split(np.arange(len(tokens)), sizes), vectors)
    cosines = _finished(collected, sentences)
    return _table(sentences, state="lexical", layer=-1, cosines=cosines, index=0)


def _pair_columns(
    task: Task, sentences: _Sentences, states: np.ndarray, mean: np.ndarray | float = 0
) -> dict[str, np.ndarray]:
    """AUC of each unit, and its cosine over pairs whose last tokens differ.

    The mean is subtracted where states are read, for centred ones take up memory.
    """
    last = np.array([prompt[-1] for prompt in sentences.prompts])
    kinds = np.array(sentences.units["kind"].to_pylist())
    count = len(sentences.members)
    cosines, differs, owner = [], [], []
    for index in np.flatnonzero(kinds != "non_paraphrase"):
        rows = sentences.members[index]
        unit = _unit(states[rows] - mean)
        first, second = np.triu_indices(len(rows), k=1)
        cosines.append(np.einsum("pd,pd->p", unit[first], unit[second]))
        differs.append(last[rows[first]] != last[rows[second]])
        owner.append(np.full(len(first), index))
    if not cosines:
        return {}
    alike, apart, units = map(np.concatenate, (cosines, differs, owner))
    unlike = _unlike_cosines(task, sentences, states, mean)
    closer = placements(alike, unlike)[0]
    return {
        "auc": _mean_of(closer, units, count),
        "cos_para_other_last": _mean_of(alike[apart], units[apart], count),
    }


def _mean_of(
    values: Float[np.ndarray, " pair"], units: Int[np.ndarray, " pair"], count: int
) -> Float[np.ndarray, " unit"]:
    """Mean over the pairs of each unit; NaN for units without a pair."""
    if not len(values):
        return np.full(count, np.nan)
    sums = np.bincount(units, weights=values, minlength=count)
    sizes = np.bincount(units, minlength=count)
    return np.divide(sums, sizes, out=np.full(count, np.nan), where=sizes > 0)


def _unlike_cosines(
    task: Task, sentences: _Sentences, states: np.ndarray, mean: np.ndarray | float
) -> Float[np.ndarray, " pair"]:
    """Cosines of non-paraphrase pairs: the labelled ones, or a seeded sample."""
    kinds = np.array(sentences.units["kind"].to_pylist())
    labelled = np.flatnonzero(kinds == "non_paraphrase")
    if len(labelled):
        pairs = np.array([sentences.members[index] for index in labelled])
    else:
        pairs = _sampled_pairs(task, sentences)
    if not len(pairs):
        return np.empty(0)
    first, second = (_unit(states[pairs[:, side]] - mean) for side in (0, 1))
    return np.einsum("pd,pd->p", first, second)


def _sampled_pairs(task: Task, sentences: _Sentences) -> Int[np.ndarray, "pair 2"]:
    """Pairs of sentences of two sets that may be compared, the same for every model."""
    groups = _not_compared(sentences)
    if groups is None:
        groups = np.arange(len(sentences.members))
    if "set" not in sentences.units["kind"].to_pylist() or len(set(groups)) < 2:
        return np.empty((0, 2), dtype=int)
    wanted = task.study.representation.auc_pairs
    name = zlib.crc32(sentences.dataset.name.encode())
    generator = np.random.default_rng((task.study.seed, name))
    sizes = np.array([len(rows) for rows in sentences.members])
    starts = np.cumsum(sizes) - sizes
    prompts = np.concatenate(sentences.members)
    found = np.empty((0, 2), dtype=int)
    while len(found) < wanted:
        units = generator.integers(len(groups), size=(wanted, 2))
        places = generator.integers(sizes[units])
        differ = groups[units[:, 0]] != groups[units[:, 1]]
        found = np.concatenate([found, prompts[(starts[units] + places)[differ]]])
    return found[:wanted]


def _unit(states: Float[np.ndarray, "row width"]) -> Float[np.ndarray, "row width"]:
    norms = np.linalg.norm(states, axis=1, keepdims=True)
    return np.divide(states, norms, out=np.zeros_like(states), where=norms > 0)


def _table(
    sentences: _Sentences,
    *,
    state: str,
    layer: int,
    cosines: _Cosines,
    index: int,
    **columns: np.ndarray,
) -> pa.Table:
    """Rows of all units in one state and layer; what does not apply is null."""
    units = sentences.units
    count = units.num_rows
    kinds = np.array(units["kind"].to_pylist())
    within, across = cosines.within[:, index], cosines.across[:, index]
    para = np.where(kinds == "non_paraphrase", np.nan, within)
    nonpara = np.where(
        kinds == "set", across, np.where(kinds == "non_paraphrase", within, np.nan)
    )
    measured = {"cos_para": para, "cos_nonpara": nonpara, **columns}
    names = ("cos_para", "cos_nonpara", "auc", "cos_para_other_last")
    kinds_of_pairs = ("cos_same_relation", "cos_same_subject", "cos_neither")
    context = sentences.context
    constant = {
        "dataset": pa.array([sentences.dataset.name] * count, pa.string()),
        "contexts": pa.array([context.contexts] * count, pa.string()),
        "context": pa.array([context.index] * count, pa.int8()),
        "state": pa.array([state] * count, pa.string()),
        "layer": pa.array([layer] * count, pa.int16()),
    }
    own = {name: units[name] for name in units.column_names}
    values = {
        name: pa.array(
            measured.get(name, np.full(count, np.nan)), pa.float32(), from_pandas=True
        )
        for name in (*names, *kinds_of_pairs)
    }
    return pa.table({**constant, **own, **values})
