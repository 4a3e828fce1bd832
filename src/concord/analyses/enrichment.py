"""Does the model recall what belongs to a subject when it has read the subject?

The hidden state at the last subject token is read through the unembedding, layer by
layer. The attributes rate is the share of the best k words that stand in texts about
the subject; without texts, the fact-object rate looks for the objects of its facts.

Levels depend on the texts: compare models on the same texts only. Frequent words look
like knowledge, so the same words are also counted for another subject (shuffled), and
without the subject's own objects, since texts are often there because they state them.
Words tied at the border of the best k are no hits: a state that says nothing has none.

Source: Fierro et al. (2024), section 4, Figure 2; Geva et al. (2023), section 5.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from concord.analyses.facts import Question
from concord.analyses.part import Part, Task
from concord.analyses.probing import (
    Known,
    Probe,
    identity_columns,
    in_batches,
    lists,
    projected_rows,
    prompt_parts,
    readable_tokens,
    sampled_questions,
)
from concord.analyses.vocabulary import Vocabulary, stop_words_hash, vocabulary_of
from concord.errors import ModelError
from concord.models.contexts import Context
from concord.models.hooks import Site, record
from concord.models.padding import padded
from concord.models.readout import final_states, readout

PART_PROMPTS = 2048
KEPT_PREFIXES = 8192
"""The last read ones are remembered: a subject's templates stand close together."""
NO_WORD = -1
Tokens = tuple[int, ...]


def run(task: Task) -> Iterator[Part]:
    """One part for each block of prompts in each context."""
    questions = sampled_questions(task, task.study.enrichment.facts)
    reading = Reading(task, questions)
    yield from prompt_parts(task, questions, partial(_rows, reading), size=PART_PROMPTS)


@dataclass(eq=False)
class Reading:
    """The best words of every prefix read so far, and what each subject's words are."""

    task: Task
    questions: Sequence[Question]
    top: dict[Tokens, Int[np.ndarray, "layer k"]] = field(default_factory=dict)
    """Prefix -> best words of each layer; distinct ones near each other run once."""

    @cached_property
    def keep(self) -> Bool[Tensor, " vocabulary"]:
        """Readable rows of the unembedding."""
        return readable_tokens(self.task.model).to(self.task.model.device)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's classes.

        Raises:
            ModelError: It has fewer of them than are to be looked at.
        """
        found = vocabulary_of(self.task.model.tokenizer, len(self.keep))
        count = len(found.words) if self.is_cleaned else int(self.keep.sum())
        if count < self.task.study.enrichment.top_k:
            raise ModelError(
                f"{self.task.model.label}: its tokenizer has {count} words to choose "
                f"from, the best {self.task.study.enrichment.top_k} are asked for; "
                "give a smaller enrichment.top_k"
            )
        return found

    @property
    def is_cleaned(self) -> bool:
        """Words are classes; otherwise they are ids."""
        return self.task.study.enrichment.top == "classes"

    @property
    def word_count(self) -> int:
        """How many different words there can be."""
        return len(self.vocabulary.words) if self.is_cleaned else len(self.keep)

    @cached_property
    def attributes(self) -> Mapping[str, Int[np.ndarray, " _word"]]:
        """Words of the texts about each subject that has texts."""
        texts = self.task.data.attributes
        asked = dict.fromkeys(question.fact.subject for question in self.questions)
        if texts is None:
            return {}
        return {
            subject: self._words(texts.texts[subject])
            for subject in asked
            if subject in texts.texts
        }

    @cached_property
    def objects(self) -> Mapping[str, Int[np.ndarray, " _word"]]:
        """Words of the objects of all of a subject's facts, drawn or not."""
        asked = {question.fact.subject for question in self.questions}
        assert self.task.data.facts is not None
        named = self.task.data.facts.objects_by_subject()
        return {
            subject: self._words([*own, *(f" {one}" for one in own)])
            for subject, own in named.items()
            if subject in asked
        }

    @cached_property
    def partners(self) -> Mapping[tuple[str, bool], Mapping[str, str]]:
        """For relation and kind of words: another subject in the place of each.

        Only subjects that count take part: another's few attributes would be no
        measure of what frequent words give.
        """
        fewest = self.task.study.enrichment.min_attributes
        found = {}
        for relation in dict.fromkeys(q.relation.id for q in self.questions):
            subjects = [
                q.fact.subject for q in self.questions if q.relation.id == relation
            ]
            for has_texts, known, least in (
                (True, self.attributes, fewest),
                (False, self.objects, 1),
            ):
                chosen = [
                    subject
                    for subject in dict.fromkeys(subjects)
                    if len(known.get(subject, ())) >= least
                ]
                seed = f"{self.task.study.seed} {relation}"
                found[relation, has_texts] = _another_of_each(chosen, seed)
        return found

    def _words(self, texts: Iterable[str]) -> Int[np.ndarray, " word"]:
        tokenizer = self.task.model.tokenizer.backend_tokenizer
        encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        flat = {number for encoding in encodings for number in encoding.ids}
        vocabulary = self.vocabulary
        return (vocabulary.classes_of if self.is_cleaned else vocabulary.kept)(flat)


def _another_of_each(subjects: Sequence[str], seed: str) -> dict[str, str]:
    """Each subject's follower in a shuffled circle; empty for a single subject."""
    circle = list(subjects)
    random.Random(seed).shuffle(circle)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True)) if circle[1:] else {}


def read_prefixes(reading: Reading, prefixes: Iterable[Tokens]) -> None:
    """The best words after each prefix at every layer; those known are not run again.

    Nothing after the subject can reach its last token, so a prefix is enough.
    """
    task, model = reading.task, reading.task.model
    missing = [p for p in dict.fromkeys(prefixes) if p not in reading.top]
    sites: list[Site] = [("hidden", layer) for layer in range(model.layer_count + 1)]

    def measure(chosen: list[int], width: int) -> Int[np.ndarray, "prefix layer k"]:
        ids, mask = padded([missing[index] for index in chosen], width, model.device)
        last = mask.sum(dim=1, keepdim=True) - 1
        with record(model.network, model.architecture, sites, last) as kept:
            final_states(model.network, model.architecture, ids, mask)
        states = [kept[site][:, 0].to(model.device) for site in sites]
        return best_words(reading, torch.stack(states, dim=1))

    for chosen, found in in_batches(task, [len(p) for p in missing], measure):
        for row, index in enumerate(chosen):
            reading.top[missing[index]] = found[row]


def best_words(
    reading: Reading, states: Float[Tensor, "prefix layer d"]
) -> Int[np.ndarray, "prefix layer k"]:
    """The k best words of every state, best first.

    Words tied with the next best one are `NO_WORD`: which of them are among the best k
    would be decided by their numbers. A state that scores all words alike has none.
    """
    model, config = reading.task.model, reading.task.study.enrichment
    step = max(1, projected_rows(model) // states.shape[1])
    found = []
    for part in states.split(step):
        scores = readout(
            model.network, model.architecture, part, norm=config.norm == "final"
        )
        top = _best_k(scores_of_words(reading, scores.flatten(0, 1)), config.top_k)
        found.append(top.unflatten(0, part.shape[:2]).to(torch.int32).cpu().numpy())
    return np.concatenate(found)


def _best_k(scores: Float[Tensor, "row word"], k: int) -> Int[Tensor, "row k"]:
    best = scores.topk(min(k + 1, scores.shape[1]), dim=-1)
    if scores.shape[1] == k:
        return best.indices
    is_ahead = best.values[:, :k] > best.values[:, k:]
    return best.indices[:, :k].masked_fill(~is_ahead, NO_WORD)


def scores_of_words(
    reading: Reading, scores: Float[Tensor, "row vocabulary"]
) -> Float[Tensor, "row word"]:
    """A class scores as its best id; ids that are no text are out."""
    if not reading.is_cleaned:
        return scores.masked_fill(~reading.keep, float("-inf"))
    classes = torch.from_numpy(reading.vocabulary.class_of_id).to(scores.device)
    ids = (classes >= 0).nonzero()[:, 0]
    places = classes[ids].expand(len(scores), -1)
    empty = scores.new_full((len(scores), reading.word_count), float("-inf"))
    return empty.scatter_reduce(1, places, scores[:, ids], reduce="amax")


def _rows(
    reading: Reading, context: Context, probes: Sequence[Probe], _: Known
) -> pa.Table:
    """One row for each prompt; what cannot be measured is null."""
    located = [probe for probe in probes if probe.subject is not None]
    prefixes = {id(probe): _prefix(probe) for probe in located}
    read_prefixes(reading, prefixes.values())
    layers = reading.task.model.layer_count + 1
    nothing = np.zeros((layers, reading.task.study.enrichment.top_k), dtype=np.int32)
    top = np.stack(
        [reading.top[prefixes[id(p)]] if p.subject else nothing for p in probes]
    )
    for oldest in list(reading.top)[:-KEPT_PREFIXES]:
        del reading.top[oldest]
    is_located = np.array([probe.subject is not None for probe in probes])
    places = [probe.subject for probe in probes]
    columns = identity_columns(context, probes) | {
        "first_position": pa.array(
            [p.positions[0] if p else None for p in places], pa.int32()
        ),
        "position": pa.array([p.last if p else None for p in places], pa.int32()),
        "covers_more": pa.array([p.covers_more if p else None for p in places]),
        "k": pa.array([top.shape[2]] * len(probes), pa.int32()),
        "stop_words": pa.array([stop_words_hash()] * len(probes), pa.string()),
    }
    subjects = [probe.question.fact.subject for probe in probes]
    for name, known in (("attribute", reading.attributes), ("object", reading.objects)):
        others = _partners_of(reading, probes, has_texts=name == "attribute")
        for prefix, owners in (("", subjects), ("other_", others)):
            sizes = [len(known.get(owner, ())) or None for owner in owners]
            columns[f"{prefix}{name}_count"] = pa.array(sizes, pa.int32())
    for name, words in _word_sets(reading, probes).items():
        hits, has_words = _hits(reading, top, words)
        columns[name] = lists(hits, pa.int16(), (is_located & has_words).tolist())
    return pa.table(columns)


def _prefix(probe: Probe) -> Tokens:
    assert probe.subject is not None
    return tuple(probe.prompt.ids[: probe.subject.last + 1])


def _word_sets(
    reading: Reading, probes: Sequence[Probe]
) -> dict[str, list[np.ndarray | None]]:
    """For each count its words, prompt by prompt: own, shuffled, without objects."""
    found: dict[str, list[np.ndarray | None]] = {}
    subjects = [probe.question.fact.subject for probe in probes]
    for name, known, has_texts in (
        ("attribute_hits", reading.attributes, True),
        ("object_hits", reading.objects, False),
    ):
        others = _partners_of(reading, probes, has_texts=has_texts)
        found[name] = [known.get(subject) for subject in subjects]
        found[f"{name}_shuffled"] = [
            known.get(other) if len(known.get(subject, ())) else None
            for subject, other in zip(subjects, others, strict=True)
        ]
    found["attribute_hits_object_free"] = [
        None
        if words is None
        else np.setdiff1d(words, reading.objects[subject], assume_unique=True)
        for subject, words in zip(subjects, found["attribute_hits"], strict=True)
    ]
    return found


def _partners_of(
    reading: Reading, probes: Sequence[Probe], *, has_texts: bool
) -> list[str]:
    """The subject in the place of each prompt's own; empty where there is none."""
    questions = [probe.question for probe in probes]
    return [
        reading.partners[q.relation.id, has_texts].get(q.fact.subject, "")
        for q in questions
    ]


def _hits(
    reading: Reading,
    top: Int[np.ndarray, "prompt layer k"],
    words: Sequence[np.ndarray | None],
) -> tuple[Int[np.ndarray, "prompt layer"], Bool[np.ndarray, " prompt"]]:
    """How many of the best words are among each prompt's words; and who has words."""
    has_words = np.array([own is not None and len(own) > 0 for own in words])
    hits = np.zeros(top.shape[:2], dtype=np.int16)
    # One place more: `NO_WORD` is the last, and never a hit.
    is_word = np.zeros(reading.word_count + 1, dtype=bool)
    for row, own in enumerate(words):
        if own is None or not len(own):
            continue
        is_word[own] = True
        hits[row] = is_word[top[row]].sum(axis=1)
        is_word[own] = False
    return hits, has_words
