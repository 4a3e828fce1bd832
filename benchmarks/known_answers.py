"""How often the intervals hold a truth that is known, and how often they cry wolf.

Run ``python benchmarks/known_answers.py``; writes ``docs/known-answers.md``. Tables of
predictions are drawn from models whose agreement, accuracy and kin follow from the
rules by which they answer; the summary's own functions reduce them.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from concord.summary import Settings, describe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "known-answers.md"
sys.path.insert(0, str(ROOT / "tests"))
tables: Any = importlib.import_module("artificial_tables")
Shares = Mapping[tuple[str, str, str], float]


def main() -> None:
    """Draw, count, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    settings = Settings(1000, 1000, level=0.95, seed=0)
    with ProcessPoolExecutor(given.workers) as pool:
        count = partial(_count, pool, settings)
        fewer = max(given.draws // 4, 1)
        small = {"design": tables.SMALL, "names": ("base", "changed")}
        found = {
            "known": count(tables.known_hits, given.draws),
            "alarms": count(tables.alarm_hits, given.draws),
            "small": count(tables.known_hits, fewer, **small),
            "small alarms": count(tables.alarm_hits, fewer, design=tables.SMALL),
            **{
                f"gate {design.text}": count(tables.gate_hits, fewer, design=design)
                for design in (tables.LARGE, tables.SMALL, tables.FEW)
            },
            "spread": _count(
                pool, replace(settings, replicates=200), tables.spread_hits, fewer
            ),
        }
    given.out.write_text(_page(found, given.draws, settings), encoding="utf-8")
    print(given.out)


def _count(
    pool: ProcessPoolExecutor,
    settings: Settings,
    hits: Callable[..., Any],
    draws: int,
    **options: Any,
) -> Shares:
    """Shares of the draws; a seed of its own for each kind, the draw's number in it."""
    begun = time.perf_counter()
    seed = sum(hits.__name__.encode())
    one = partial(hits, settings=settings, seed=seed, **options)
    shares = tables.shares(pool.map(one, range(draws), chunksize=8))
    told = options.get("design", tables.LARGE).text
    seconds = time.perf_counter() - begun
    print(f"{hits.__name__}, {told}: {draws} draws in {seconds:.0f} s", flush=True)
    return shares


def _page(found: Mapping[str, Shares], draws: int, settings: Settings) -> str:
    known, fewer = found["known"], max(draws // 4, 1)
    return "\n".join(
        [
            "# Known answers\n",
            "Does concord report what is there? Predictions are drawn from artificial "
            "models that answer by fixed rules, so that the truth follows from the "
            "rules alone, and the summary reduces them as it does those of a run. Made "
            "by `python benchmarks/known_answers.py`; the tests draw the same tables "
            "less often.\n",
            "Wanted: a 95 % interval holds the truth in 93 to 97 % of the draws, and "
            "a difference where there is none is announced in at most 6 %, each "
            "measure by itself. Rates are shares of draws, with their standard error "
            "from the number of draws; no draw is left out and no seed chosen.\n",
            f"Large: {tables.LARGE.text} subjects (relations x subjects of each), "
            f"{draws:,} draws. Small: {tables.SMALL.text}. Few: {tables.FEW.text}. "
            f"Small, few, gate and spread: {fewer:,} draws. One subject in four has "
            "two facts; 4 wordings, 2 contexts, 5 candidates; "
            f"{settings.replicates:,} replicates, {settings.permutations:,} sign "
            "flips.\n",
            "| model | rule |",
            "|---|---|",
            "| base | keeps to a main answer per fact with chance "
            f"{tables.STAYS[0]} or {tables.STAYS[1]}, by subject; else answers "
            "anything |",
            f"| changed | the same with {tables.SHIFT} more |",
            f"| collapsed | one favourite answer to a share of {tables.FAVOURS} of all "
            "prompts |",
            "| copying | the object where it stands in the subject; else anything |",
            "| guessing | anything |",
            "| one answer | one answer to everything: agreement 1, corrected for "
            "chance null with a reason, in every draw |\n",
            "## Share of draws in which a 95 % interval holds the truth\n",
            *_coverage(known, ("value", "difference"), draws),
            "\n## Many small relations\n",
            f"{tables.SMALL.text}, all relations alike, so that the interval over "
            "relations has the same truth to hold.\n",
            *_coverage(found["small"], ("value", "difference", "relations"), fewer),
            "\n## Models that do not differ from their base\n",
            "Three tuned models by the base's own rule. Announced: said to be more or "
            "less consistent (accurate), which needs the interval and the p-value "
            "adjusted for three.\n",
            "| tables | measure | any of three announced | the first announced |",
            "|---|---|---:|---:|",
            *_alarms(tables.LARGE.text, found["alarms"], draws),
            *_alarms(tables.SMALL.text, found["small alarms"], fewer),
            "\nSpreads of accuracy over 4 wordings x 3 orders of 80 questions, all "
            "equally hard in every setting, three tuned models as right as the "
            "base.\n",
            "| measure | any of three announced |",
            "|---|---:|",
            *(
                f"| {describe(key).title} | {_rate(share, fewer)} |"
                for (_, _, key), share in found["spread"].items()
            ),
            "\n## A gate at its bound\n",
            "A model lost exactly the agreement that `concord gate --strict "
            "--max-drop` tolerates. It should pass in at most 2.5 % of the draws.\n",
            "| tables | passes |",
            "|---|---:|",
            *(
                f"| {name.removeprefix('gate ')} | {_rate(share, fewer)} |"
                for name, own in found.items()
                if name.startswith("gate")
                for share in own.values()
            ),
            "\n## Models that do differ\n",
            "| model | its agreement is said to differ |",
            "|---|---:|",
            *(
                f"| {model} | {_rate(share, draws)} |"
                for (what, model, _), share in known.items()
                if what == "announced" and model != "one answer"
            ),
            "\n## Outside what is wanted\n",
            *_outside(found),
            "",
        ]
    )


def _coverage(shares: Shares, kinds: tuple[str, ...], draws: int) -> list[str]:
    titles = {"value": "value", "difference": "difference from the base"}
    titles["relations"] = "the same, over relations"
    truth = tables.truths()
    lines = [
        "| model | measure | truth | "
        + " | ".join(titles[kind] for kind in kinds)
        + " |",
        "|---|---|---:|" + "---:|" * len(kinds),
    ]
    for (what, model, key), _ in shares.items():
        if what != "value":
            continue
        cells = [
            _rate(shares[kind, model, key], draws)
            if (kind, model, key) in shares
            else ""
            for kind in kinds
        ]
        lines.append(
            f"| {model} | {describe(key).title} | {truth[model, key]:.3f} | "
            + " | ".join(cells)
            + " |"
        )
    return lines


def _alarms(name: str, shares: Shares, draws: int) -> list[str]:
    return [
        f"| {name} | {describe(key).title} | {_rate(share, draws)} "
        f"| {_rate(shares['one announced', 'same-0', key], draws)} |"
        for (what, _, key), share in shares.items()
        if what == "announced"
    ]


def _rate(share: float, draws: int) -> str:
    error = (share * (1 - share) / draws) ** 0.5
    return f"{share:.3f} ({error:.3f})"


def _outside(found: Mapping[str, Shares]) -> list[str]:
    """Rates beside their bounds, none left unsaid."""
    lines = []
    for name, shares in found.items():
        for (what, model, key), share in shares.items():
            title = describe(key).title
            if what in ("value", "difference", "relations"):
                is_inside = 0.93 <= share <= 0.97
            elif what == "passes":
                is_inside = share <= 0.025
            else:
                is_inside = model not in ("any", "same-0") or share <= 0.06
            if not is_inside:
                lines.append(f"- {name}: {model}, {title}, {what}: {share:.3f}")
    return lines or ["None."]


if __name__ == "__main__":
    main()
