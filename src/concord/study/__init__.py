"""What a run measures, on what and how: frozen, checked, and saved with the run.

A YAML study file holds everything a command line can say; presets are such files inside
the package. Later sources win: preset, study file, command line.
"""

from concord.study.analyses import (
    MECHANISM,
    STUDY_RATES,
    AnswersConfig,
    ChoicesConfig,
    EnrichmentConfig,
    ExtractionConfig,
    FactSample,
    FactsConfig,
    FinetunedConfig,
    KnockoutConfig,
    KnockoutSet,
    Perturbation,
    RelationsConfig,
    RepresentationConfig,
    SentenceRepresentation,
)
from concord.study.identity import (
    HOW_OF_A_MODEL,
    HOW_ONLY,
    default_output,
    study_to_yaml,
    what_is_measured,
)
from concord.study.models import (
    Api,
    EndpointLimits,
    ModelEntry,
    PromptFormat,
    TokenPrice,
    is_endpoint,
    label_models,
)
from concord.study.reading import (
    preset_names,
    read_preset,
    read_study_file,
    resolve_study,
)
from concord.study.statistics import (
    OTHER_MEASURES,
    OtherMeasure,
    StatisticsConfig,
)
from concord.study.whole import (
    ContextSet,
    Dtype,
    Executor,
    Study,
)

__all__ = [
    "HOW_OF_A_MODEL",
    "HOW_ONLY",
    "MECHANISM",
    "OTHER_MEASURES",
    "STUDY_RATES",
    "AnswersConfig",
    "Api",
    "ChoicesConfig",
    "ContextSet",
    "Dtype",
    "EndpointLimits",
    "EnrichmentConfig",
    "Executor",
    "ExtractionConfig",
    "FactSample",
    "FactsConfig",
    "FinetunedConfig",
    "KnockoutConfig",
    "KnockoutSet",
    "ModelEntry",
    "OtherMeasure",
    "Perturbation",
    "PromptFormat",
    "RelationsConfig",
    "RepresentationConfig",
    "SentenceRepresentation",
    "StatisticsConfig",
    "Study",
    "TokenPrice",
    "default_output",
    "is_endpoint",
    "label_models",
    "preset_names",
    "read_preset",
    "read_study_file",
    "resolve_study",
    "study_to_yaml",
    "what_is_measured",
]
