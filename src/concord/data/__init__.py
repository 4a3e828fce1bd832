"""Data sets as records: facts with templates, paraphrase sets, labelled pairs."""

from concord.data.draw import draw_facts, draw_sentences
from concord.data.fetch import (
    DataCheck,
    cache_folder,
    check_data,
    data_folder,
    get_data,
    list_data,
)
from concord.data.groups import read_facts, read_groups
from concord.data.mrpc import read_mrpc, read_pairs
from concord.data.pararel import read_pararel
from concord.data.records import (
    Fact,
    FactData,
    ParaphraseSet,
    Relation,
    SentenceData,
    SentencePair,
    Template,
)
from concord.data.sources import SOURCES, Source
from concord.data.tapaco import read_tapaco

__all__ = [
    "SOURCES",
    "DataCheck",
    "Fact",
    "FactData",
    "ParaphraseSet",
    "Relation",
    "SentenceData",
    "SentencePair",
    "Source",
    "Template",
    "cache_folder",
    "check_data",
    "data_folder",
    "draw_facts",
    "draw_sentences",
    "get_data",
    "list_data",
    "read_facts",
    "read_groups",
    "read_mrpc",
    "read_pairs",
    "read_pararel",
    "read_tapaco",
]
