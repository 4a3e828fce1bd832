"""All data of a study, read and checked before any model is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.data.answer_sets import read_answer_tasks
from concord.data.attributes import (
    AttributeTexts,
    find_attribute_texts,
    read_attribute_texts,
)
from concord.data.choice_sets import read_choices
from concord.data.choices import ChoiceData
from concord.data.draw import draw_facts, draw_sentences
from concord.data.fetch import data_folder
from concord.data.free_tasks import FreeData
from concord.data.groups import read_facts
from concord.data.mrpc import read_mrpc
from concord.data.names import refuse_equal_names
from concord.data.own_sentences import read_own_sentences
from concord.data.pararel import read_pararel
from concord.data.records import FactData, ParaphraseSet, SentenceData
from concord.data.seen import SeenFacts, read_seen
from concord.data.tapaco import read_tapaco
from concord.data.training_sets import TrainingSet, read_training_sets
from concord.errors import DataError, StudyError
from concord.results import fingerprint
from concord.study import MECHANISM, Study

_TAKEN = ("facts", "objects", "attributes", "seen")
"""Names in a run's description and fingerprints that are no data set's."""


@dataclass(frozen=True)
class Collection:
    """The data sets of a study."""

    facts: FactData | None
    sentences: tuple[SentenceData, ...]
    choices: tuple[ChoiceData, ...] = ()
    answers: tuple[FreeData, ...] = ()
    attributes: AttributeTexts | None = None
    training_sets: tuple[TrainingSet, ...] = ()
    seen: SeenFacts | None = None
    """What each model was told, where somebody knows; no row depends on it."""

    def describe(self) -> dict[str, Any]:
        """Counts and notes by name, as the run records them."""
        described: dict[str, Any] = {
            data.name: {"counts": dict(data.counts), "notes": list(data.notes)}
            for data in (*self.sentences, *self.choices, *self.answers)
        }
        if self.facts is not None:
            described["facts"] = {
                "counts": dict(self.facts.counts),
                "notes": list(self.facts.notes),
                "templates": {
                    relation.id: [
                        {"lemma": one.lemma, "tense": one.tense, "line": one.line}
                        for one in relation.templates
                    ]
                    for relation in self.facts.relations
                },
            }
        if self.attributes is not None:
            described["attributes"] = {
                "counts": dict(self.attributes.counts),
                "notes": list(self.attributes.notes),
            }
        if self.seen is not None:
            described["seen"] = {"counts": self.seen.counts, "notes": []}
        described |= {
            f"task {one.name}": {"counts": one.counts, "notes": list(one.notes)}
            for one in self.training_sets
        }
        return described

    def fingerprints(self) -> Mapping[str, str]:
        """Name of each data set -> hash of everything a row can depend on."""
        found = {
            data.name: fingerprint([repr(data.sets), repr(data.pairs)])
            for data in self.sentences
        }
        found |= {f"choices {data.name}": data.fingerprint for data in self.choices}
        found |= {f"answers {data.name}": data.fingerprint for data in self.answers}
        if self.facts is not None:
            found["facts"] = fingerprint(repr(self.facts.relations))
            if self.facts.undrawn:
                found["objects"] = fingerprint(self.facts.objects_by_subject())
        if self.attributes is not None:
            found["attributes"] = self.attributes.fingerprint
        found |= {f"task {one.name}": one.fingerprint for one in self.training_sets}
        return found


def read_collection(study: Study) -> Collection:
    """Read every data set the study's analyses need.

    Raises:
        DataError: A file is missing, malformed or empty.
        StudyError: Two data sets have one name, or a name that is taken.
    """
    needs_sentences = "representation" in study.analyses
    needs_facts = not {"facts", *MECHANISM}.isdisjoint(study.analyses)
    datasets = study.representation.datasets if needs_sentences else ()
    facts = None
    if needs_facts or "pararel" in datasets:
        facts = _read_facts(study)
    sentences = tuple(
        _facts_as_sentences(facts, study.facts.source)
        if name == "pararel" and facts is not None
        else _read_sentences(name, study)
        for name in datasets
    )
    names = [data.name for data in sentences]
    refuse_equal_names("representation.datasets", "data sets", names, taken=_TAKEN)
    choices = read_choices(study) if "choices" in study.analyses else ()
    attributes = _read_attributes(study, facts)
    return Collection(
        facts,
        sentences,
        choices=choices,
        answers=read_answer_tasks(study) if "answers" in study.analyses else (),
        attributes=attributes,
        training_sets=read_training_sets(study)
        if "finetuned" in study.analyses
        else (),
        seen=_read_seen(study, facts),
    )


def _read_attributes(study: Study, facts: FactData | None) -> AttributeTexts | None:
    """Texts about the subjects, from the place that the study names, if any."""
    config = study.enrichment
    if "enrichment" not in study.analyses or facts is None:
        return None
    if config.passages is not None and config.texts not in ("auto", None):
        raise StudyError(
            f"enrichment: found texts {config.texts} and passages {config.passages}; "
            "needed one source of attributes; remove one of the two"
        )
    if config.passages is not None:
        subjects = (fact.subject for fact in facts.facts)
        return find_attribute_texts(config.passages, subjects)
    if config.texts is None:
        return None
    if config.texts != "auto":
        return read_attribute_texts(Path(config.texts))
    folder = (study.data_dir or Path()) / "attributes"
    if study.data_dir is None or not folder.is_dir():
        return None
    return read_attribute_texts(folder)


def _read_seen(study: Study, facts: FactData | None) -> SeenFacts | None:
    """What each model was told, from the place that the study names, if any."""
    place = study.facts.seen
    if facts is None or place is None:
        return None
    labels = [entry.label for entry in study.models]
    if place != "auto":
        return read_seen(Path(place), facts, labels)
    folder = (study.data_dir or Path()) / "seen"
    if study.data_dir is None or not folder.is_dir():
        return None
    return read_seen(folder, facts, labels)


def _read_facts(study: Study) -> FactData:
    config = study.facts
    if config.source == "pararel":
        data = read_pararel(
            data_folder(study.data_dir, "pararel"),
            relations=config.relations,
            multi_object=config.multi_object,
        )
    else:
        data = read_facts(Path(config.source), multi_object=config.multi_object)
    if study.limit is None:
        return data
    return draw_facts(data, study.limit, study.seed)


def _facts_as_sentences(facts: FactData, source: str) -> SentenceData:
    """All templates of a fact as one paraphrase set; the subject is the cluster.

    A fact with one prompt has no paraphrase: it is left out and counted.

    Raises:
        DataError: No fact has two prompts.
    """
    found = tuple(
        ParaphraseSet(
            id=fact.id,
            sentences=tuple(prompt for _, prompt in relation.prompts_of(fact)),
            cluster=fact.subject,
            relation=relation.id,
        )
        for relation in facts.relations
        for fact in relation.facts
    )
    sets = tuple(group for group in found if len(group.sentences) > 1)
    if not sets:
        raise DataError(
            f"representation.datasets: found pararel, but one prompt for each of the "
            f"{len(found):,} facts of {source}; needed a fact with two or more; give "
            "relations with more templates, or leave pararel out"
        )
    counts = {
        "sets": len(sets),
        "sentences": sum(len(group.sentences) for group in sets),
        "sets_of_one": len(found) - len(sets),
    }
    notes = []
    if source != "pararel":
        notes.append(f"The filled templates of the facts in {source}, not ParaRel's.")
    if count := counts["sets_of_one"]:
        notes.append(f"{count:,} facts of one prompt left out: they have no pair.")
    return SentenceData(name="pararel", sets=sets, counts=counts, notes=tuple(notes))


def _read_sentences(name: str, study: Study) -> SentenceData:
    if name == "mrpc":
        data = read_mrpc(data_folder(study.data_dir, "mrpc"))
    elif name == "tapaco":
        sets = study.representation.tapaco_sets
        data = read_tapaco(
            data_folder(study.data_dir, "tapaco"),
            sets=None if sets == "all" else sets,
            seed=study.seed,
        )
    else:
        data = read_own_sentences(_own_file(name))
    if study.limit is None:
        return data
    return draw_sentences(data, study.limit, study.seed)


def _own_file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise DataError(
            f"representation.datasets: found {name!r}; needed mrpc, tapaco, pararel or "
            "the path of a file of paraphrase groups (columns group, text) or of "
            "labelled pairs (first, second, is_paraphrase)"
        )
    return path
