"""How much work multiple choice takes: one pass over each prompt, counted.

A random LLaMA of the scoring benchmark's size would only cost time: positions and
passes do not depend on weights, so a small one answers MMLU's questions in the study's
nine settings. Beside it, what a loop over (prompt, letter) pairs would feed.

    python benchmarks/choices.py --data-dir DATA     # DATA/mmlu/test/<topic>_test.csv
    python benchmarks/choices.py                     # the embedded world's questions
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from concord import organism
from concord.analyses import choices
from concord.analyses.part import Task
from concord.data.collection import read_collection
from concord.models.load import load_model
from concord.scoring.engine import score_prompts
from concord.scoring.work import WorkCounts
from concord.study import resolve_study


def measure(data_dir: Path, questions: int) -> tuple[WorkCounts, int, float]:
    """Work, rows and seconds of the embedded base on so many questions."""
    study = resolve_study(
        {
            "base": "embedded:base",
            "tuned": ["embedded:wordings"],
            "analyses": ["choices"],
            "data_dir": data_dir,
            "limit": questions,
        }
    )
    task = Task(load_model(study, study.base), read_collection(study), study)
    counted: list[WorkCounts] = []

    def counting(*given: Any, **options: Any) -> Any:
        scores, counts = score_prompts(*given, **options)
        counted.append(counts)
        return scores, counts

    choices.score_prompts = counting
    try:
        started = time.perf_counter()
        rows = sum(part.rows.num_rows for part in choices.run(task))
        seconds = time.perf_counter() - started
    finally:
        choices.score_prompts = score_prompts
    return sum(counted, WorkCounts()), rows, seconds


def main() -> None:
    """Count, print, and fail when a prompt takes more than one pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--questions", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.data_dir or Path(folder)
        if given.data_dir is None:
            organism.write_world_data(organism.shipped_world(), place)
        work, rows, seconds = measure(place, given.questions)
    mean = work.token_positions / work.rows
    by_pair = round(mean * work.pairs)
    print(f"{rows:>12,} prompts asked, {work.distinct_prompts:,} of them distinct")
    print(f"{work.rows:>12,} rows through the model in {work.rounds} round")
    print(f"{work.pairs:>12,} (prompt, letter) scores")
    print(f"{work.token_positions:>12,} token positions; {by_pair:,} by pairs")
    print(f"{rows / seconds:>12,.0f} prompts per second, tokenizing included")
    if work.rounds != 1 or work.rows != work.distinct_prompts:
        raise SystemExit("a prompt took more than one pass")


if __name__ == "__main__":
    main()
