"""The best words of a state against a full sort of the vocabulary."""

from typing import Any

import numpy as np
import pytest
import torch
from enriched_rows import task_of

from concord.analyses.enrichment import NO_WORD, Reading, best_words, scores_of_words
from concord.analyses.facts import questions_of


def test_the_best_words_are_those_of_a_full_sort_in_both_forms(
    settings: dict[str, Any],
):
    generator = torch.Generator().manual_seed(0)
    for top in ("classes", "raw"):
        task = task_of(settings, enrichment={"top_k": 7, "top": top})
        assert task.data.facts is not None
        reading = Reading(task, questions_of(task.data.facts))
        states = torch.randn((5, 4, 32), generator=generator)
        found = best_words(reading, states)
        weight = task.model.network.get_output_embeddings().weight.detach()
        class_of_id = reading.vocabulary.class_of_id
        for prompt, layer in np.ndindex(5, 4):
            scores = (states[prompt, layer] @ weight.T).tolist()
            wanted: list[int] = []
            for number in sorted(range(len(scores)), key=lambda i: -scores[i]):
                if top == "raw" and number != task.model.tokenizer.pad_token_id:
                    wanted.append(number)
                elif top == "classes" and class_of_id[number] >= 0:
                    wanted.append(int(class_of_id[number]))
            distinct = list(dict.fromkeys(wanted))[:7]
            assert found[prompt, layer].tolist() == distinct


@pytest.mark.parametrize("top", ["classes", "raw"])
def test_words_tied_with_the_next_are_not_among_the_best(settings: dict[str, Any], top):
    generator = torch.Generator().manual_seed(0)
    task = task_of(settings, enrichment={"top_k": 7, "top": top})
    assert task.data.facts is not None
    reading = Reading(task, questions_of(task.data.facts))
    weight = task.model.network.get_output_embeddings().weight.detach()
    # Whole numbers: sums are exact, and many are equal.
    weight.copy_(torch.randint(-1, 2, weight.shape, generator=generator))
    states = torch.randint(-1, 2, (5, 4, 32), generator=generator).float()
    found = best_words(reading, states)
    for prompt, layer in np.ndindex(5, 4):
        scores = scores_of_words(reading, (states[prompt, layer] @ weight.T)[None])[0]
        eighth = sorted(scores.tolist(), reverse=True)[7]
        wanted = {place for place, score in enumerate(scores) if score > eighth}
        named = [word for word in found[prompt, layer].tolist() if word != NO_WORD]
        assert len(named) == len(wanted) and set(named) == wanted
    assert (found == NO_WORD).any()
