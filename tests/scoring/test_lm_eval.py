"""Scores are those of the harness people compare with, pair by pair."""

from typing import Any

import numpy as np
import pytest
from scoring_worlds import as_scoring_model
from tiny_models import tiny_model, tiny_tokenizer

from concord.models.tokens import Encoder, candidate_ids, encode_prompts
from concord.scoring.engine import ScoringConfig, score_prompts
from concord.scoring.trie import build_trie

huggingface = pytest.importorskip("lm_eval.models.huggingface")
instance = pytest.importorskip("lm_eval.api.instance")

SYLLABLES = ["Ho", "no", "lu", "Pa", "ris", "Ni", "ger", "Lon", "don", "ia", "a", "Ber"]
PROMPTS = [
    "Barack Obama was born in",
    "Marie Curie works in ",
    "The capital of Nigeria is",
    "Everyone knows that Paris lies in",
]


def names(count: int) -> list[str]:
    """Distinct invented places, some of which begin others."""
    pairs = [f"{first}{second}" for first in SYLLABLES for second in SYLLABLES]
    longer = [f"{pair}{third}" for pair in pairs for third in SYLLABLES]
    return sorted(set(pairs[: count // 2 + 1] + longer))[:count]


def harness_scores(
    network: Any,
    tokenizer: Any,
    candidates: list[str],
    *,
    delimiter: str,
    **fields: Any,
) -> np.ndarray:
    harness = huggingface.HFLM(
        pretrained=network, tokenizer=tokenizer, batch_size=16, device="cpu", **fields
    )
    requests = [
        instance.Instance("loglikelihood", {}, pair, index)
        for index, prompt in enumerate(PROMPTS)
        for pair in [(prompt.rstrip(), delimiter + own) for own in candidates]
    ]
    answers = harness.loglikelihood(requests, disable_tqdm=True)
    return np.array([score for score, _ in answers]).reshape(len(PROMPTS), -1)


def our_scores(network: Any, encoder: Encoder, candidates: list[str]) -> Any:
    prompts = [prompt.ids for prompt in encode_prompts(encoder, PROMPTS)]
    trie = build_trie(candidate_ids(encoder, PROMPTS[0], candidates), texts=candidates)
    model, indices = as_scoring_model(network), [0] * len(prompts)
    return [
        score_prompts(model, prompts, [trie], indices, config=ScoringConfig(mode=mode))[
            0
        ]
        for mode in ("full", "top")
    ]


def test_a_trailing_space_is_the_delimiter_for_the_harness_too() -> None:
    network, tokenizer = tiny_model("llama", vocabulary=400), tiny_tokenizer()
    harness = huggingface.HFLM(
        pretrained=network, tokenizer=tokenizer, batch_size=1, device="cpu"
    )
    spaced = instance.Instance("loglikelihood", {}, (PROMPTS[1], "Paris"), 0)
    ((wanted, _),) = harness.loglikelihood([spaced], disable_tqdm=True)
    encoder = Encoder(tokenizer, family="llama")
    full, _ = our_scores(network, encoder, ["Paris"])
    assert PROMPTS[1].endswith(" ")
    assert float(full.vectors[1][0]) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("count", [1, 5, 229])
@pytest.mark.parametrize(
    ("family", "bos"), [("llama", True), ("llama", False), ("falcon", False)]
)
def test_scores_equal_the_harness(family: str, bos: bool, count: int) -> None:
    network = tiny_model(family, vocabulary=400)
    tokenizer = tiny_tokenizer(bos=bos)
    encoder = Encoder(tokenizer, bos="tokenizer" if bos else "never", family=family)
    candidates = names(count)
    wanted = harness_scores(network, tokenizer, candidates, delimiter=" ")
    full, top = our_scores(network, encoder, candidates)
    np.testing.assert_allclose(np.stack(full.vectors), wanted, atol=1e-4, rtol=0)
    assert not full.is_tie.any()
    np.testing.assert_array_equal(full.prediction, wanted.argmax(axis=1))
    np.testing.assert_array_equal(top.prediction, wanted.argmax(axis=1))


@pytest.mark.parametrize("count", [1, 5, 40])
def test_encoder_decoder_scores_equal_the_harness(count: int) -> None:
    network = tiny_model("t5", vocabulary=400)
    tokenizer = tiny_tokenizer(bos=False)
    encoder = Encoder(tokenizer, family="t5", is_encoder_decoder=True)
    candidates = names(count)
    wanted = harness_scores(
        network, tokenizer, candidates, delimiter="", backend="seq2seq"
    )
    full, top = our_scores(network, encoder, candidates)
    np.testing.assert_allclose(np.stack(full.vectors), wanted, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(full.prediction, wanted.argmax(axis=1))
    np.testing.assert_array_equal(top.prediction, wanted.argmax(axis=1))
