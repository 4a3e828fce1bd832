"""What the embedded family measures: its page's tables, and the cards of its models.

``python benchmarks/embedded_family.py`` runs the demo with its samples three times as
large, and writes from its summary the tables of ``docs/embedded-family.md`` and the
sentences of the model cards that begin with "Measured"; with the folder of a finished
run it writes them from that. Nothing else of either is touched: what the numbers mean
is written by hand and to be read again.
"""

import argparse
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from concord.organism import BASE, FAMILY, shipped_world, weights_folder
from concord.organism.public_formats import write_world_data
from concord.report.findings import Findings
from concord.report.formats import change, number
from concord.results import read_json
from concord.study import Study, read_preset, resolve_study

PAGE = Path(__file__).resolve().parents[1] / "docs" / "embedded-family.md"
RUN = Path("runs") / "embedded-family"
CARD_WIDTH = 88
TIMES = 3
"""So many times the demo's samples are measured for the page."""
SAMPLES = (
    "limit",
    "representation.tapaco_sets",
    "choices.questions",
    "finetuned.scored_examples",
    "relations.facts",
    "extraction.facts",
    "knockout.facts",
)
"""Fields of the demo's study that say how many are asked."""
SIGNIFICANT = 0.05
Columns = Mapping[str, tuple[str, str]]
"""Title -> key, and whether its value or its change from the base is shown."""

TABLES: dict[str, Columns] = {
    "agreement": {
        "agreement": ("facts.agreement", "value"),
        "change": ("facts.agreement", "change"),
        "accuracy": ("facts.accuracy", "value"),
        "corrected for chance": ("facts.chance_corrected_agreement", "value"),
        "same prompt, change": ("facts.agreement@same", "change"),
    },
    "told": {
        "accuracy, seen": ("truth.accuracy_seen", "value"),
        "unseen": ("truth.accuracy_unseen", "value"),
        "agreement, told in one wording": ("truth.agreement_one_wording", "value"),
        "in more": ("truth.agreement_more_wordings", "value"),
        "change, held out": ("truth.agreement_held_out", "change"),
        "change, tuned on": ("truth.agreement_tuned_on", "change"),
    },
    "inside": {
        "gap, mrpc": ("representation.mrpc.gap", "value"),
        "gap, tapaco": ("representation.tapaco.gap", "value"),
        "gap, pararel": ("representation.pararel.gap", "value"),
        "attributes rate": ("enrichment.attributes_rate", "value"),
        "less another's": ("enrichment.attributes_rate_gain", "value"),
        "extraction, attention": ("extraction.mhsa", "value"),
        "MLP": ("extraction.mlp", "value"),
    },
    "tasks": {
        "multiple choice": ("choices.mmlu.accuracy", "value"),
        "spread": ("choices.mmlu.spread", "value"),
        "most common letter": ("choices.mmlu.top_letter_share", "value"),
        "the same, base's prompts": ("choices.mmlu.top_letter_share@same", "value"),
        "fine-tuned, paraphrased": ("finetuned.rte.semantic", "value"),
        "most common class": ("finetuned.rte.top_class_share", "value"),
    },
}
ASKED = {
    "facts, each in ten wordings": "facts.agreement",
    "MRPC's stand-in": "representation.mrpc.gap",
    "TaPaCo's stand-in": "representation.tapaco.gap",
    "reworded facts": "representation.pararel.gap",
    "multiple choice questions": "choices.mmlu.accuracy",
    "scored texts after fine-tuning": "finetuned.rte.accuracy",
    "attributes": "enrichment.attributes_rate",
    "extraction": "extraction.mhsa",
    "knockout": "knockout.subject",
}
"""What is counted -> the measure whose n says how many."""
MOVED = {
    "agreement": "facts.agreement",
    "agreement, base's prompts": "facts.agreement@same",
    "agreement, held-out subjects": "truth.agreement_held_out",
    "accuracy": "facts.accuracy",
    "gap, mrpc": "representation.mrpc.gap",
    "gap, tapaco": "representation.tapaco.gap",
    "gap, pararel": "representation.pararel.gap",
    "attributes rate": "enrichment.attributes_rate",
    "attributes rate, less another's": "enrichment.attributes_rate_gain",
    "the same, base's prompts": "enrichment.attributes_rate_gain@same",
    "extraction, attention": "extraction.mhsa",
    "extraction, MLP": "extraction.mlp",
}


def model_table(findings: Findings, columns: Columns) -> str:
    """One row for each model; an asterisk: adjusted p below .05."""
    rows = [
        [model, *(_cell(findings, key, model, kind) for key, kind in columns.values())]
        for model in findings.models
    ]
    return _markdown(["model", *columns], rows)


def asked_table(findings: Findings) -> str:
    """How many units each analysis has measured in the base, and in how many groups."""
    rows = []
    for title, key in ASKED.items():
        n = findings.value(key, findings.base).get("n") or {}
        rows.append([title, _count(n.get("facts")), _count(n.get("subjects"))])
    return _markdown(["what was asked", "n", "drawn by the bootstrap"], rows)


def moved_table(findings: Findings) -> str:
    """Which tuned models lie beyond doubt above the base, and which below."""
    rows = []
    for title, key in MOVED.items():
        differences = {m: findings.difference(key, m) for m in findings.tuned}
        shown = {m: d["value"] for m, d in differences.items() if _is_shown(d)}
        above = [model for model, value in shown.items() if value > 0]
        below = [model for model, value in shown.items() if value < 0]
        rows.append([title, ", ".join(above) or "–", ", ".join(below) or "–"])
    return _markdown(["beyond doubt (adjusted p < .05)", "above", "below"], rows)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _is_shown(difference: Mapping[str, Any]) -> bool:
    p = difference.get("p_adjusted")
    return p is not None and p < SIGNIFICANT


def _cell(findings: Findings, key: str, model: str, kind: str) -> str:
    if kind == "value":
        return number(findings.value(key, model).get("value"))
    found = findings.difference(key, model)
    star = "*" if _is_shown(found) else ""
    return change({"value": found.get("value")}, 3) + star


def _count(size: int | None) -> str:
    return "–" if size is None else f"{size:,}"


def measured(findings: Findings, name: str) -> str:
    """The sentence of a card that says what came out, and over how many."""

    def value(key: str) -> str:
        return number(findings.value(key, name).get("value"))

    def over(key: str) -> str:
        return _count((findings.value(key, name).get("n") or {}).get("facts"))

    def changed(key: str) -> str:
        return change({"value": findings.difference(key, name).get("value")}, 3)

    parts = [
        f"Measured by the demo's analyses over {over('facts.agreement')} facts of "
        f"held-out and other subjects: agreement {value('facts.agreement')}, accuracy "
        f"{value('facts.accuracy')} ({value('truth.accuracy_seen')} in wordings in "
        f"which it was told the fact, {value('truth.accuracy_unseen')} in others)"
    ]
    if name != BASE:
        spoken_of = findings.value("truth.agreement_tuned_on", name).get("value")
        tuned_on = (
            f" and {changed('truth.agreement_tuned_on')} on those tuned on"
            if spoken_of is not None
            else " (all of them: it was told of none)"
        )
        parts.append(
            f"agreement less the base's {changed('truth.agreement_held_out')} on "
            f"held-out subjects{tuned_on}, {changed('facts.agreement@same')} under the "
            "base's own prompts"
        )
    parts += [
        f"attributes rate {value('enrichment.attributes_rate')} over "
        f"{over('enrichment.attributes_rate')} facts",
        f"extraction by attention {value('extraction.mhsa')} and by the MLP "
        f"{value('extraction.mlp')} over {over('extraction.mhsa')} facts",
        f"multiple choice {value('choices.mmlu.accuracy')} right over "
        f"{over('choices.mmlu.accuracy')} questions (chance .25)",
    ]
    return "; ".join(parts) + ". "


def rewrite_card(path: Path, sentence: str) -> None:
    """Put the sentence in the place of the one that begins with "Measured"."""
    title, _, body = path.read_text("utf-8").partition("\n\n")
    text = " ".join(body.split())
    changed, count = re.subn(r"Measured .*?(?=Rebuilt )", lambda _: sentence, text)
    if count != 1:
        raise SystemExit(f"{path}: needed one sentence from 'Measured' to 'Rebuilt'")
    body = textwrap.fill(changed, CARD_WIDTH, break_on_hyphens=False)
    path.write_text(f"{title}\n\n{body}\n", "utf-8")


def rewrite_page(findings: Findings, path: Path) -> None:
    """Put every table between its marks."""
    tables = {name: model_table(findings, shown) for name, shown in TABLES.items()}
    tables |= {"asked": asked_table(findings), "moved": moved_table(findings)}
    text = path.read_text("utf-8")
    for name, table in tables.items():
        marks = f"<!-- table: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(marks[0])
        _, found, after = rest.partition(marks[1])
        if not found:
            raise SystemExit(f"{path}: needed {marks[0]} and {marks[1]}")
        text = f"{before}{marks[0]}\n\n{table}\n\n{marks[1]}{after}"
    path.write_text(text, "utf-8")


def page_study(data_dir: Path) -> Study:
    """The demo's study with larger samples."""
    settings = read_preset("demo") | {"data_dir": data_dir}
    for field in SAMPLES:
        *path, last = field.split(".")
        place: Any = settings
        for name in path:
            place = place[name]
        place[last] *= TIMES
    return resolve_study(settings)


def measure(folder: Path) -> Path:
    """Measure the family for the page; a run that was stopped is continued."""
    from concord.commands.options import reporter
    from concord.compare import compare

    data_dir = folder.with_name(f"{folder.name}-data")
    write_world_data(shipped_world(), data_dir)
    return compare(page_study(data_dir), folder, reporter=reporter(False)).path


def main() -> None:
    """Rewrite page and cards from a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run", type=Path, nargs="?", help=f"a finished run; else {RUN} is measured"
    )
    run = parser.parse_args().run or measure(RUN)
    findings = Findings(read_json(run / "summary.json"))
    rewrite_page(findings, PAGE)
    for variant in FAMILY:
        if variant.name in findings.models:
            card = weights_folder(variant.name) / "README.md"
            rewrite_card(card, measured(findings, variant.name))


if __name__ == "__main__":
    main()
