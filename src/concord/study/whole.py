"""A whole study: its models, its analyses, and how it runs."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from concord.study.analyses import (
    MECHANISM,
    AnswersConfig,
    ChoicesConfig,
    EnrichmentConfig,
    ExtractionConfig,
    FactsConfig,
    FinetunedConfig,
    KnockoutConfig,
    RelationsConfig,
    RepresentationConfig,
)
from concord.study.models import ModelEntry
from concord.study.section import Section
from concord.study.statistics import OtherMeasure, StatisticsConfig

ContextSet = Literal["study", "same", "chat"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Executor = Literal["here", "processes", "ray"]


class Study(Section):
    """The whole study. Defaults are the paper's, or marked in its documentation."""

    base: ModelEntry
    tuned: Annotated[tuple[ModelEntry, ...], Field(min_length=1)]
    analyses: tuple[str, ...] = ("facts", "representation")
    contexts: tuple[ContextSet, ...] = ("study", "same")
    """``study``: Table 3; ``same``: tuned models also under the base's prompts;
    ``chat``: tuned models also in their tokenizer's chat template."""
    facts: FactsConfig = FactsConfig()
    representation: RepresentationConfig = RepresentationConfig()
    enrichment: EnrichmentConfig = EnrichmentConfig()
    relations: RelationsConfig = RelationsConfig()
    extraction: ExtractionConfig = ExtractionConfig()
    knockout: KnockoutConfig = KnockoutConfig()
    choices: ChoicesConfig = ChoicesConfig()
    answers: AnswersConfig = AnswersConfig()
    finetuned: FinetunedConfig = FinetunedConfig()
    statistics: StatisticsConfig = StatisticsConfig()
    measures: tuple[OtherMeasure, ...] = ()
    """Measures of other papers, by name, over facts, choices and written answers as far
    as rows allow; never the headline."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most this many facts, and sets or pairs of each data set."""
    seed: Annotated[int, Field(ge=0)] = 0
    data_dir: Path | None = None
    """Where data sets lie; by default where ``concord data get`` puts them."""
    output: Path | None = None
    device: str = "auto"
    device_map: Literal["auto", "balanced", "sequential"] | dict[str, str] | None = None
    """Spreads each model over several devices: a rule, or block -> device."""
    quantisation: Literal["8bit", "4bit"] | None = None
    """Weights are quantised while they are loaded (bitsandbytes)."""
    dtype: Dtype = "auto"
    """``auto``: float32 on a CPU, else as the checkpoint is stored."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Rows of one forward pass at most, copies included; all cuts of one prompt count
    as one row, and where states are read, a row that is alone goes in twice. Never
    changes which rows come out, nor a number by more than rounding."""
    executor: Executor = "here"
    """``here``: one process, one model after the other; ``processes``: several on this
    machine; ``ray``: on a cluster whose nodes share a file system."""
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Models or shares of one measured at once; by default one for each GPU, without
    any two processes, or one for each node."""
    allow_pickle: bool = False
    """Load weights that are not safetensors (they can run code)."""
    merge_adapters: bool = False
    """Add adapters to the weights below them: faster; scores differ by rounding."""
    trust_remote_code: bool = False
    """Run code that comes with a model."""
    preset: str | None = None

    @model_validator(mode="after")
    def _quantised_weights_are_left_alone(self) -> Self:
        asked = [name for name in self.analyses if name in MECHANISM]
        if self.quantisation and asked:
            raise ValueError(
                f"quantisation: {', '.join(asked)} read updates that must add up, and "
                "those of quantised weights do not; leave out the quantisation, or "
                "these analyses"
            )
        if self.quantisation and self.merge_adapters:
            raise ValueError(
                "merge_adapters: what is added to quantised weights is rounded away; "
                "leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _contexts_include_the_study(self) -> Self:
        if "study" not in self.contexts:
            raise ValueError("contexts needs 'study'; the others stand beside it")
        return self

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        known: set[str] = set()
        for entry in self.models:
            if entry.label in known:
                raise ValueError(
                    f"two models are labelled {entry.label!r}; give one of them a "
                    f"label of its own: {{source: {entry.source}, label: NAME}} in a "
                    "study file, or NAME=PATH for concord import"
                )
            known.add(entry.label)
        return self

    @property
    def row_limit(self) -> int | None:
        """Most rows of one forward pass; None: as many as memory holds."""
        return None if self.batch_size == "auto" else self.batch_size

    @property
    def models(self) -> tuple[ModelEntry, ...]:
        """The base, then the tuned models."""
        return (self.base, *self.tuned)
