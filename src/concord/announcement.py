"""What is said before any model is loaded: workload, data, first prompts."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from concord.plan import Plan

SHOWN_TOKENS = 40


def announcement(plan: Plan) -> Iterator[RenderableType]:
    """Workload, notes on the data, and the prompt audit."""
    yield _workload(plan)
    yield from (Text(line) for line in _served(plan))
    for name, described in plan.data.describe().items():
        counts = ", ".join(f"{v:,} {k}" for k, v in described["counts"].items() if v)
        yield Text(f"{name}: {counts}")
        yield from (Text(f"  {note}", style="dim") for note in described["notes"])
    yield _audit(plan)
    if any(_is_control(row) for row in plan.audit):
        yield Text("contexts same: tuned models get the base's prompts, ids identical.")


def _served(plan: Plan) -> Iterator[str]:
    """How each endpoint is asked, how often, and what that cannot tell."""
    for label, served in plan.served.items():
        info, rows = served.info, [r for r in plan.workload if r["model"] == label]
        requests = sum(row.get("requests", 0) for row in rows)
        costs = [row["cost"] for row in rows if row.get("cost")]
        paid = sum(cost["amount"] for cost in costs)
        price = f", {paid:,.2f} {costs[0]['currency']}" if costs else ""
        yield (
            f"{label}: {info['source']} by {served.offer.route}, which returns "
            f"{info['endpoint_notes']['means']}; about {requests:,} requests{price}."
        )
        yield from (f"  {sentence}" for sentence in served.offer.cannot)


def _is_control(row: dict[str, Any]) -> bool:
    """A same-prompt control: the base's prompt, shown already, and nothing else."""
    return row["contexts"] == "same" and row["same_ids"]


def _workload(plan: Plan) -> Table:
    """One row per analysis for the base, one for the tuned models that have as much."""
    table = Table(title="What will be measured", title_justify="left")
    for name in ("analysis", "of"):
        table.add_column(name)
    for name in ("contexts", "prompts", "tokens (est.)"):
        table.add_column(name, justify="right")
    models: dict[tuple[Any, ...], list[str]] = {}
    for row in plan.workload:
        numbers = tuple(f"{row[name]:,}" for name in ("contexts", "prompts", "tokens"))
        is_base = row["model"] == plan.study.base.label
        models.setdefault((row["analysis"], is_base, *numbers), []).append(row["model"])
    order = list(dict.fromkeys(row["analysis"] for row in plan.workload))
    for key in sorted(models, key=lambda key: (order.index(key[0]), not key[1])):
        analysis, _, *numbers = key
        table.add_row(analysis, Text(_who(models[key])), *numbers)
    return table


def _who(labels: list[str]) -> str:
    """Models that have equal work, in a few words."""
    if len(labels) == 1:
        return labels[0]
    return f"{len(labels)} tuned, each"


def _audit(plan: Plan) -> Table:
    """First prompt of every context; tuned models with equal prompts share a row."""
    table = Table(
        title="First prompts: base and tuned side by side",
        title_justify="left",
        show_lines=True,
    )
    for name in ("context", "base", "tuned", "ids"):
        table.add_column(name, overflow="fold")
    shared: dict[tuple[Any, ...], list[str]] = {}
    for row in (row for row in plan.audit if not _is_control(row)):
        where = f"{row['analysis']} {row['contexts']} {row['context']}"
        key = (where, *_sides(row), row["same_ids"])
        shared.setdefault(key, []).append(row["tuned_model"])
    for (where, base, tuned, is_same), models in shared.items():
        who = "" if len(models) == len(plan.study.tuned) else f"\n{', '.join(models)}"
        same = {True: "same", False: "differ", None: "not seen"}[is_same]
        table.add_row(Text(where + who), Text(base), Text(tuned), same)
    return table


def _sides(row: dict[str, Any]) -> tuple[str, str]:
    return (
        _tokens(row["base_tokens"], row["base_ids"]) or row["base_text"],
        _tokens(row["tuned_tokens"], row["tuned_ids"]) or row["tuned_text"],
    )


def _tokens(tokens: list[str], ids: list[int]) -> str:
    """Tokens with their ids: ``<s>:1 ▁Once:403``."""
    shown = [f"{t}:{i}" for t, i in zip(tokens, ids, strict=True)][:SHOWN_TOKENS]
    more = f" … {len(ids) - SHOWN_TOKENS} more" if len(ids) > SHOWN_TOKENS else ""
    return " ".join(shown) + more
