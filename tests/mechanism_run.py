"""A run of six facts by hand: its identities, and rows of extraction."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from concord.results import Run, open_run, write_part
from concord.summary.estimates import Settings

SETTINGS = Settings(replicates=200, permutations=200, level=0.95, seed=0)
FACTS, TEMPLATES, CONTEXTS = 6, 2, 2


def silent(_: str) -> None:
    return None


def mechanism_run(folder: Path) -> Run:
    """Six facts of one relation, two templates, two contexts, a base and a tuned."""
    (folder / "study.yaml").write_text("facts: {source: pararel}\n")
    info = {"base": "base", "tuned": ["tuned"]}
    (folder / "run.json").write_text(json.dumps(info))
    return open_run(folder)


def write_extraction(run: Run, model: str, contexts: str, events: np.ndarray) -> None:
    """Events [context, fact, template, layer] of attention; the MLP has none."""
    rows = []
    for place in np.ndindex(CONTEXTS, FACTS, TEMPLATES):
        ranks = [0 if event else 7 for event in events[place]]
        rows.append(
            identity(contexts, *place)
            | {"free_token": "a", "prediction_token": "a" if place[2] else "b"}
            | {f"mhsa_rank_{name}": ranks for name in ("free", "prediction", "object")}
            | {
                f"mlp_rank_{name}": [7, 7, 7]
                for name in ("free", "prediction", "object")
            }
        )
    write(run, "extraction", model, contexts, rows)


def identity(contexts: str, context: int, fact: int, template: int) -> dict:
    return {
        "contexts": contexts,
        "context": context,
        "relation": "born",
        "fact": f"f{fact}",
        "subject": f"s{fact}",
        "template": template,
    }


def write(run: Run, analysis: str, model: str, name: str, rows: list[dict]) -> None:
    table = pa.Table.from_pylist(rows)
    write_part(run, analysis, model, name=name, key="k", table=table)
