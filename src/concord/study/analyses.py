"""What each analysis measures, a section for each."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from concord.study.section import Section

KnockoutSet = Literal["subject", "non_subject", "last", "template", "context", "bos"]
SentenceRepresentation = Literal["decoder_first", "encoder_last", "encoder_eos"]
Perturbation = Literal[
    "typing_errors", "case", "spacing", "punctuation", "contractions"
]

MECHANISM = ("enrichment", "relations", "extraction", "knockout")
"""Analyses of the inside of decoder-only models, over the prompts of the facts."""

STUDY_RATES = (5e-4, 1e-4, 5e-5)
"""The study's grid of learning rates."""

FactSample = Annotated[int, Field(ge=1)] | None
"""At most this many facts, drawn with the seed evenly over the relations, the same for
every model; by default all."""


class FactsConfig(Section):
    """Zero-shot predictions over the templates of facts (Tables 2 and 5)."""

    source: str = "pararel"
    """``pararel``, or a path to facts of your own (JSONL or CSV)."""
    relations: Literal["paired", "n1", "all"] | tuple[str, ...] = "paired"
    """``paired``: two or more object-final templates, 35 relations in ParaRel."""
    multi_object: Literal["drop", "any", "drop_repeated"] = "drop"
    """What to do with a subject that has several objects in one relation."""
    scoring: Literal["top", "full"] = "top"
    """``top``: exact best two candidates; ``full``: the score of every candidate."""
    normalisation: Literal[
        "acc", "acc_norm", "acc_bytes", "acc_tokens", "acc_mutual_info"
    ] = "acc"
    """How a candidate's log-probability is put in relation to its length."""
    candidate_end: Literal["", ".", "eos"] = ""
    """Appended to every candidate and scored; nothing by default."""
    head_dtype: Literal["float32", "model"] = "float32"
    """Precision of the last matrix product."""
    seen: str | None = "auto"
    """Folder that says which facts each model was told, and in which wordings;
    ``auto``: that of the data folder, if it has any."""
    noise_prompts: Annotated[int, Field(ge=0)] = 512
    """Prompts scored again one by one to measure the noise floor."""


class RepresentationConfig(Section):
    """Distances of paraphrases and non-paraphrases (Tables 1 and 4)."""

    datasets: tuple[str, ...] = ("mrpc", "tapaco", "pararel")
    """Names of data sets, or paths to paraphrase groups of your own."""
    tapaco_sets: Annotated[int, Field(ge=2)] | Literal["all"] = 10_000
    """Paraphrase sets drawn with the seed, the same for every model."""
    encoder_decoder: SentenceRepresentation = "decoder_first"
    """Which state stands for a sentence in an encoder-decoder model."""
    auc_pairs: Annotated[int, Field(ge=100)] = 10_000
    """Non-paraphrase pairs drawn for the AUC where pairs are not labelled."""


class ChoicesConfig(Section):
    """Multiple choice: accuracy, spread and agreement (Tables 2 and 5)."""

    datasets: Annotated[tuple[str, ...], Field(min_length=1)] = ("mmlu",)
    """``mmlu``, or paths to questions (JSONL) or task files (YAML) of your own."""
    topics: tuple[str, ...] | None = None
    """MMLU's topics to ask; by default all."""
    instructions: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Texts above the question, ``{}`` for its topic; default: the study's three."""
    orders: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "identity",
        "rotation",
        "reversal",
    )
    """Orders of the options; also ``shuffle1``, ``shuffle2`` and so on."""
    option_counts: Literal["equal", "any"] = "equal"
    """Whether rows of your own may have more or fewer options than the first."""
    too_long: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of a question with a prompt that is longer than a model takes; left
    out, it counts for no model."""
    perturbations: tuple[Perturbation, ...] = ()
    """Changes of the question's text that leave its meaning; none in the study."""
    questions: Annotated[int, Field(ge=1)] | None = None
    """At most this many of each data set, in place of the study's ``limit``."""
    noise_prompts: Annotated[int, Field(ge=0)] = 256
    """Prompts asked again one by one to measure the noise floor."""


class AnswersConfig(Section):
    """Tasks of your own whose answers the model writes itself."""

    tasks: tuple[str, ...] = ()
    """Paths of task files (YAML with ``kind: free``)."""
    perturbations: tuple[Perturbation, ...] = ()
    """Changes of the question's text that leave its meaning."""
    questions: Annotated[int, Field(ge=1)] | None = None
    """At most this many of each task, in place of the study's ``limit``."""


class FinetunedConfig(Section):
    """Classifiers fine-tuned from each model, and their consistency (Table 6)."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """``rte``, ``wic``, ``mrpc``, ``snli``, or folders of tasks of your own; by default
    those of the four that the data folder holds."""
    rates: (
        Literal["published", "search"]
        | Annotated[
            tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)
        ]
    ) = "published"
    """Learning rates to try; the best is chosen per model and task on held-out rows.
    ``search``: the study's three; ``published``: the one the study found best."""
    seeds: Annotated[int, Field(ge=1)] = 3
    """Trainings of each kind, with the study's seed and those after it."""
    epochs: Annotated[int, Field(ge=1)] = 10
    """Passes over the training rows at most; the rate falls to 0 at their end."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Training rows of one step."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Looks at the held-out rows without gain after which training stops."""
    method: Literal["auto", "lora", "full"] = "auto"
    """What is trained: adapters or all weights; ``auto``: adapters from 1,000,000,000
    parameters on."""
    head: Literal["classification", "label_words"] = "classification"
    """A new linear layer over the last token's final state, or the model's own
    vocabulary: the next word ``yes`` or ``no``."""
    rank: Annotated[int, Field(ge=1)] = 16
    """Of the adapters; their alpha is twice that, their dropout .05."""
    train_examples: Annotated[int, Field(ge=2)] | None = None
    """At most this many training rows, held-out ones among them; all by default."""
    scored_examples: Annotated[int, Field(ge=1)] | None = None
    """At most this many rows of each scored set; ``limit`` by default."""
    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """Longest text; longer ones are shortened at the end of their longest part, and
    counted. By default what the model takes."""

    def rates_of(self, published: float) -> tuple[float, ...]:
        """The learning rates to try on a task with that published one."""
        if self.rates == "published":
            return (published,)
        if self.rates == "search":
            return STUDY_RATES
        return tuple(dict.fromkeys(self.rates))


class EnrichmentConfig(Section):
    """Attributes of the subject at its last token (Figure 2)."""

    facts: FactSample = None
    texts: str | None = "auto"
    """Texts per subject (JSONL); ``auto``: those of the data folder, if it has any.
    Without texts only the objects of the subject's own facts are looked for."""
    passages: Path | None = None
    """Corpus (a column ``text``) to find passages in, in place of ``texts``."""
    top: Literal["classes", "raw"] = "classes"
    """``classes``: the best distinct words, cleaned; ``raw``: the first ids as they
    come, the paper's literal words."""
    top_k: Annotated[int, Field(ge=1)] = 50
    """How many of the best readout tokens are looked at."""
    norm: Literal["none", "final"] = "none"
    """Whether the final norm is applied before the readout."""
    min_attributes: Annotated[int, Field(ge=1)] = 1
    """Subjects with fewer attributes are left out of the means; the study used 50."""


class RelationsConfig(Section):
    """Where prompts of one relation become alike, layer by layer (Figures 3, 4, 7)."""

    facts: FactSample = None
    pairs: Annotated[int, Field(ge=1)] = 1000
    """Pairs per relation of each kind, drawn with the seed."""
    pool: Annotated[int, Field(ge=2)] = 200
    """Prompts per relation from which the pairs are drawn."""
    single_facts: Annotated[int, Field(ge=0)] = 500
    """Facts whose pairs of templates are kept one by one, to compare base and tuned on
    pairs on which both agree; drawn with the seed."""


class ExtractionConfig(Section):
    """Which sublayer's update has the prediction on top (Figures 5 and 8)."""

    facts: FactSample = None
    position: Literal["last", "last_subject"] = "last"
    """Where the update is read."""
    norm: Literal["none", "final"] = "none"
    """Whether the final norm is applied before the readout."""


class KnockoutConfig(Section):
    """What the prediction loses when attention to some positions is cut."""

    facts: FactSample = None
    window: Annotated[int, Field(ge=1)] | None = None
    """Blocks cut together; by default 9 from 24 blocks on, else a quarter, odd."""
    sets: Annotated[tuple[KnockoutSet, ...], Field(min_length=1)] = (
        "subject",
        "non_subject",
        "last",
    )
    """Positions that the last one may no longer attend to."""

    @field_validator("sets")
    @classmethod
    def _sets_are_distinct(
        cls, sets: tuple[KnockoutSet, ...]
    ) -> tuple[KnockoutSet, ...]:
        twice = [name for name in dict.fromkeys(sets) if sets.count(name) > 1]
        if twice:
            raise ValueError(
                f"found {', '.join(sets)}; each set is cut once: name "
                f"{' and '.join(twice)} a single time"
            )
        return sets
