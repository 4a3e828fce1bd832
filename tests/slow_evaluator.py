"""A slow, plain measurement of agreement and accuracy, apart from the package's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from concord.organism.world import World, WorldFact

BASE_CONTEXTS = ("{}", "Everyone knows that {}", "It is widely known that {}")
TUNED_CONTEXTS = tuple(
    f"<|user|>\n{instruction}\n<|assistant|>\n{{}}"
    for instruction in (
        "Complete the sentence with as few words as possible.",
        "Provide concise info to complete sentence.",
        "Please finish the sentence.",
    )
)


@dataclass(frozen=True)
class Measured:
    """Shares in [0, 1] over the facts and contexts asked for."""

    agreement: float
    accuracy: float
    seen_accuracy: float
    unseen_accuracy: float


def sample_facts(
    world: World, count: int, *, is_tuned: bool | None = None, seed: int = 0
) -> list[WorldFact]:
    """Facts drawn over all relations; of one half of the subjects, or of both."""
    subjects = world.subject_by_name
    facts = [
        fact
        for fact in world.facts
        if is_tuned is None or subjects[fact.subject].is_tuned == is_tuned
    ]
    return Random(seed).sample(facts, count)


def measure(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    world: World,
    facts: Sequence[WorldFact],
    contexts: Sequence[str],
) -> Measured:
    """Agreement and accuracy: per fact and context, then the mean."""
    asked = [
        (context, fact, wording)
        for context in contexts
        for fact in facts
        for wording in range(len(world.wordings(fact.relation)))
    ]
    prompts = [
        context.replace("{}", prompt_of(world, fact, wording))
        for context, fact, wording in asked
    ]
    candidates = [sorted(set(world.objects[fact.relation])) for _, fact, _ in asked]
    predictions = predict(model, tokenizer, prompts, candidates)
    pairs, right, seen, unseen = [], [], [], []
    groups: dict[tuple[str, str, str], list[str]] = {}
    for (context, fact, wording), prediction in zip(asked, predictions, strict=True):
        key = (context, fact.subject, fact.relation)
        groups.setdefault(key, []).append(prediction)
        is_right = prediction == fact.object
        right.append(is_right)
        (seen if wording in fact.seen_wordings else unseen).append(is_right)
    for group in groups.values():
        equal = [first == second for first, second in combinations(group, 2)]
        pairs.append(sum(equal) / len(equal))
    return Measured(_mean(pairs), _mean(right), _mean(seen), _mean(unseen))


def prompt_of(world: World, fact: WorldFact, wording: int) -> str:
    """The template filled with the subject and cut before the object."""
    pattern = world.wordings(fact.relation)[wording]
    return pattern.partition(" [Y]")[0].replace("[X]", fact.subject)


@torch.inference_mode()
def predict(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    candidates: Sequence[Sequence[str]],
) -> list[str]:
    """The candidate with the highest sum of log-probabilities, for each prompt.

    A candidate whose first token alone scores below the best whole candidate so far
    cannot win, so it is not scored further.
    """
    prompt_ids = tokenizer(list(prompts))["input_ids"]
    first = _log_probabilities(model, [(ids, len(ids) - 1) for ids in prompt_ids])
    cached: dict[tuple[str, str], list[int]] = {}
    best: list[tuple[float, str]] = []
    jobs = []
    for index, (prompt, ids) in enumerate(zip(prompts, prompt_ids, strict=True)):
        context = prompt.rsplit(" ", 1)[-1]
        scored = (float("-inf"), "")
        open_candidates = []
        for candidate in candidates[index]:
            key = (context, candidate)
            if key not in cached:
                whole = tokenizer(f"{prompt} {candidate}")["input_ids"]
                assert whole[: len(ids)] == ids
                cached[key] = whole[len(ids) :]
            pieces = cached[key]
            score = first[index][0, pieces[0]].item()
            if len(pieces) > 1:
                open_candidates.append((score, candidate, pieces))
            elif score > scored[0]:
                scored = (score, candidate)
        best.append(scored)
        jobs += [(index, *item) for item in sorted(open_candidates, reverse=True)[:4]]
    jobs = [job for job in jobs if job[1] > best[job[0]][0]]
    rest = _log_probabilities(
        model,
        [(prompt_ids[job[0]] + job[3][:-1], len(prompt_ids[job[0]])) for job in jobs],
    )
    for (index, score, candidate, pieces), scores in zip(jobs, rest, strict=True):
        total = score + sum(
            scores[place, piece].item() for place, piece in enumerate(pieces[1:])
        )
        best[index] = max(best[index], (total, candidate))
    return [candidate for _, candidate in best]


def _log_probabilities(
    model: PreTrainedModel | PeftModel, rows: Sequence[tuple[list[int], int]]
) -> list[torch.Tensor]:
    """For each (ids, start): log-probabilities at the positions from ``start`` on."""
    results: list[torch.Tensor] = [torch.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index][0]))
    for at in range(0, len(order), 128):
        chunk = order[at : at + 128]
        length = max(len(rows[index][0]) for index in chunk)
        ids = torch.zeros(len(chunk), length, dtype=torch.long)
        for place, index in enumerate(chunk):
            ids[place, : len(rows[index][0])] = torch.tensor(rows[index][0])
        logits = model(input_ids=ids, use_cache=False).logits.float()
        for place, index in enumerate(chunk):
            values, start = rows[index]
            results[index] = logits[place, start : len(values)].log_softmax(-1)
    return results


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


@torch.inference_mode()
def enrichment_recall(
    model: PreTrainedModel | PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    world: World,
    *,
    has_register_lines: bool,
    subject_count: int = 60,
    top: int = 20,
) -> tuple[list[float], list[float]]:
    """Share of a subject's objects among the top readout tokens at its last token.

    Objects count by their first token. The readout is the output embedding, without
    the final norm.

    Returns:
        For each layer (embeddings first, the final state last): the subject's own
        objects, and those of another subject of its kind.
    """
    subjects = [
        subject
        for subject in world.subjects
        if subject.has_register_lines == has_register_lines
    ]
    subjects = Random(0).sample(subjects, subject_count)
    embeddings = model.get_output_embeddings()
    assert embeddings is not None
    readout = embeddings.weight
    own, other = [], []
    for index, subject in enumerate(subjects):
        control = next(
            item
            for item in subjects[index + 1 :] + subjects[:index]
            if item.kind == subject.kind
        )
        ids = torch.tensor([tokenizer(subject.name)["input_ids"]])
        states = model(
            input_ids=ids, output_hidden_states=True, use_cache=False
        ).hidden_states
        best = [
            set((state[0, -1] @ readout.T).topk(top).indices.tolist())
            for state in states
        ]
        for rates, name in ((own, subject.name), (other, control.name)):
            firsts = [
                tokenizer(f"{name} {fact.object}")["input_ids"][
                    len(tokenizer(name)["input_ids"])
                ]
                for fact in world.facts_by_subject[name]
            ]
            rates.append(
                [_mean([token in found for token in firsts]) for found in best]
            )
    return _by_layer(own), _by_layer(other)


def _by_layer(rates: Sequence[Sequence[float]]) -> list[float]:
    return [_mean(layer) for layer in zip(*rates, strict=True)]
