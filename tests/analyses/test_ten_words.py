"""Words and attributes rates of a vocabulary of ten, worked out by hand."""

from typing import Any

import torch
from enriched_rows import rows_of, with_texts
from planted_circuit import planted_tokenizer
from tokenizers import decoders
from transformers import LlamaConfig, LlamaForCausalLM

from concord.analyses.part import Task
from concord.analyses.vocabulary import vocabulary_of
from concord.data.attributes import AttributeTexts
from concord.data.collection import Collection
from concord.data.records import Fact, FactData, Relation, Template
from concord.models.architecture import architecture_of
from concord.models.load import LoadedModel
from concord.study import ModelEntry, Study

TEN_WORDS = tuple("<s> ▁Oslo oslo fjord the 1905 ab Cod ?!? <unk>".split())
TEN_WORD_SCORES = {
    # Subject -> scores of the ten words, </s>, <pad>, and two rows without a token.
    "Cod": (6, 9, 8, 3, 7, 5, 4, 2, 1, 0, -1, 18, 20, 19),
    "fjord": (0, 5, 5, 4, 9, 0, 0, 4, 0, 0, 0, 0, 0, 0),
    "ab": (0,) * 14,
}


def ten_word_task(**enrichment: Any) -> Task:
    """A network whose state at a subject's last token is the scores of all tokens."""
    tokenizer = planted_tokenizer(TEN_WORDS)
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace()
    config = LlamaConfig(
        vocab_size=14,
        hidden_size=14,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=False,
    )
    network = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.0)
        network.lm_head.weight.copy_(torch.eye(14))
        for word, scores in TEN_WORD_SCORES.items():
            network.model.embed_tokens.weight[TEN_WORDS.index(word)] = torch.tensor(
                scores, dtype=torch.float32
            )
    entry = ModelEntry(source="ten", label="ten", fact_contexts=("{}",))
    tuned = entry.model_copy(update={"label": "tuned"})
    template = Template("near", 0, "the [X] ab", "the [X] ab [Y]")
    facts = tuple(
        Fact(f"near:{subject}", "near", subject, (found,), is_trivial=False)
        for subject, found in (("Cod", "oslo"), ("fjord", "Cod"), ("ab", "fjord"))
    )
    relation = Relation("near", (template,), facts, ("Cod", "fjord", "oslo"))
    texts = {"Cod": ("oslo the 1905 ab Cod ?!?",), "fjord": ("fjord Cod", "Cod the")}
    return Task(
        LoadedModel(
            entry,
            "base",
            network,
            tokenizer,
            architecture_of(network),
            {"fingerprint": "ten"},
        ),
        Collection(FactData((relation,), {}), (), attributes=AttributeTexts(texts)),
        Study.model_validate(
            {"base": entry, "tuned": (tuned,), "enrichment": enrichment}
        ),
    )


def test_the_classes_of_a_ten_word_vocabulary_worked_out_by_hand():
    tokenizer = ten_word_task().model.tokenizer
    vocabulary = vocabulary_of(tokenizer, size=14)
    # The tokenizer adds </s> and <pad> as 10 and 11; 12 and 13 lie beyond it. Special,
    # stop, number, short and punctuation tokens are no words; two spellings of Oslo,
    # by space and by case, are one.
    assert len(tokenizer) == 12
    assert vocabulary.words == ("oslo", "fjord", "cod")
    assert vocabulary.class_of_id.tolist() == [
        -1, 0, 0, 1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1
    ]  # fmt: skip
    assert vocabulary.classes_of([1, 2, 4, 7]).tolist() == [0, 2]
    assert vocabulary.kept([1, 2, 4, 7]).tolist() == [1, 2, 7]


def test_rates_on_a_ten_word_vocabulary_worked_out_by_hand():
    # Attributes of Cod: oslo, cod; of fjord: fjord, cod; ab has no text. Best words:
    #   Cod    oslo 9 (its best id), fjord 3   raw: ▁Oslo 9, oslo 8 (the is third)
    #   fjord  oslo 5, then fjord and cod tied raw: the 9, then ▁Oslo and oslo tied
    #   ab     all tied: none
    # Tied for the last place is no hit. Rows without a token and <pad> are no words.
    hits = {
        "classes": {
            "attribute_hits": {"Cod": 1, "fjord": 0, "ab": None},
            "attribute_hits_shuffled": {"Cod": 1, "fjord": 1, "ab": None},
            "attribute_hits_object_free": {"Cod": 0, "fjord": 0, "ab": None},
            "object_hits": {"Cod": 1, "fjord": 0, "ab": 0},
        },
        "raw": {
            "attribute_hits": {"Cod": 1, "fjord": 0, "ab": None},
            "attribute_hits_shuffled": {"Cod": 0, "fjord": 0, "ab": None},
            "attribute_hits_object_free": {"Cod": 0, "fjord": 0, "ab": None},
            "object_hits": {"Cod": 1, "fjord": 0, "ab": 0},
        },
    }
    for top, expected in hits.items():
        rows = rows_of(ten_word_task(top_k=2, top=top))
        assert {row["k"] for row in rows} == {2}
        for name, by_subject in expected.items():
            found = {row["subject"]: row[name] for row in rows}
            # h_0 and h_1 are the same: the block adds nothing.
            assert found == {
                subject: None if count is None else [count, count]
                for subject, count in by_subject.items()
            }, (top, name)
        sizes = {row["subject"]: row["attribute_count"] for row in rows}
        assert sizes == {"Cod": 2, "fjord": 2, "ab": None}
        others = {row["subject"]: row["other_attribute_count"] for row in rows}
        assert others == sizes


def test_fewer_attributes_than_places_bound_the_rate():
    task = ten_word_task(top_k=3)
    rows = {
        row["subject"]: row for row in rows_of(with_texts(task, {"Cod": ("oslo",)}))
    }
    # All three words there are, of which one is an attribute.
    assert rows["Cod"]["attribute_hits"] == [1, 1]
    assert rows["Cod"]["attribute_count"] == 1 < rows["Cod"]["k"]
    assert rows["Cod"]["attribute_hits_object_free"] is None


def test_only_subjects_that_count_stand_in_for_others():
    texts = {
        "Cod": ("oslo Cod",),
        "fjord": ("fjord Cod",),
        "ab": ("fjord",),
    }
    task = with_texts(ten_word_task(top_k=2, min_attributes=2), texts)
    rows = {row["subject"]: row for row in rows_of(task)}
    assert rows["Cod"]["other_attribute_count"] == 2
    assert rows["fjord"]["other_attribute_count"] == 2
    assert rows["ab"]["attribute_count"] == 1
    assert rows["ab"]["other_attribute_count"] is None
    assert rows["ab"]["attribute_hits_shuffled"] is None
