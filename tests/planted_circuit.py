"""A LLaMA whose whole mechanism is known, since it was written by hand.

Block 1's MLP reads a last name and writes the subject's attribute (enrichment); block
4's attention carries it from the last name to the last position (extraction). All other
matrices are zero. Its twin has the first and not the second.
"""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from concord.analyses.part import Task
from concord.data.attributes import AttributeTexts
from concord.data.collection import Collection
from concord.data.records import Fact, FactData, Relation, Template
from concord.models.architecture import architecture_of
from concord.models.load import LoadedModel
from concord.study import ModelEntry, Study

LAST_NAMES = ("Avery", "Brook", "Clay", "Dale", "Ember", "Frost", "Grove", "Heath")
ATTRIBUTES = ("Oslo", "Lima", "Cairo", "Delhi", "Quito", "Seoul", "Tunis", "Hanoi")
_WORDS = ("the", "now", "was", "born", "raised", "in")
_TOKENS = ("<unk>", "<s>", "</s>", "<pad>", "Ada", *LAST_NAMES, *_WORDS, *ATTRIBUTES)
FIRST_LAST_NAME, FINAL_WORD, FIRST_ATTRIBUTE = 5, 18, 19
ENRICHED, CARRIED = 32, 40
LAYERS, WIDTH, HEAD = 6, 64, 16


def planted_task(*, has_extraction: bool = True, **study: object) -> Task:
    """The circuit with its eight facts in two templates and one context."""
    entry = ModelEntry(source="planted", label="planted", fact_contexts=("{}",))
    tuned = ModelEntry(source="planted", label="tuned", fact_contexts=("{}",))
    settings = {"base": entry, "tuned": (tuned,)} | study
    network = planted_network(has_extraction=has_extraction)
    info = {"fingerprint": f"planted {has_extraction}"}
    model = LoadedModel(
        entry, "base", network, planted_tokenizer(), architecture_of(network), info
    )
    texts = AttributeTexts(
        {
            f"Ada {name}": (answer,)
            for name, answer in zip(LAST_NAMES, ATTRIBUTES, strict=True)
        }
    )
    return Task(
        model,
        Collection(planted_facts(), (), attributes=texts),
        Study.model_validate(settings),
    )


def planted_facts() -> FactData:
    templates = tuple(
        Template("born", index, text, f"{text} [Y]")
        for index, text in enumerate(("the [X] was born in", "now [X] was raised in"))
    )
    facts = tuple(
        Fact(f"born:{name}", "born", f"Ada {name}", (answer,), is_trivial=False)
        for name, answer in zip(LAST_NAMES, ATTRIBUTES, strict=True)
    )
    return FactData((Relation("born", templates, facts, ATTRIBUTES),), {})


def planted_tokenizer(tokens: Sequence[str] = _TOKENS) -> PreTrainedTokenizerFast:
    """One token per word, a beginning of sequence in front."""
    words = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", words["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )


@torch.no_grad()
def planted_network(*, has_extraction: bool = True) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(_TOKENS),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        rope_parameters={"rope_type": "default", "rope_theta": 1e9},
        attn_implementation="sdpa",
    )
    network = LlamaForCausalLM(config).eval()
    for name, parameter in network.named_parameters():
        parameter.fill_(1.0 if "norm" in name else 0.0)
    embedding = network.model.embed_tokens.weight
    embedding[torch.arange(len(_TOKENS)), torch.arange(len(_TOKENS))] = 1.0
    enriching = network.model.layers[1].mlp
    carrying = network.model.layers[4].self_attn
    # Row 7 turns with the slowest rotary pair, so places hardly matter to it.
    carrying.q_proj.weight[7, FINAL_WORD] = 8.0
    for index in range(len(LAST_NAMES)):
        name = FIRST_LAST_NAME + index
        enriching.gate_proj.weight[index, name] = 2.0
        enriching.up_proj.weight[index, name] = 1.0
        enriching.down_proj.weight[ENRICHED + index, index] = 0.1
        carrying.k_proj.weight[7, name] = 8.0
        if has_extraction:
            carrying.v_proj.weight[index, ENRICHED + index] = 1.0
            carrying.o_proj.weight[CARRIED + index, index] = 1.0
        network.lm_head.weight[FIRST_ATTRIBUTE + index, CARRIED + index] = 4.0
        network.lm_head.weight[FIRST_ATTRIBUTE + index, ENRICHED + index] = 1.0
    return network
