"""What reading and cutting cost: knockout as trees, recording, rates, memory.

Four measurements on one thread, in process time, best of the rounds:

1. All windows of three sets in a random LLaMA of 32 blocks, as one tree or growing tree
   per prompt and as one pass for every window and set; and how far they differ in
   float64.
2. A pass that records every hidden state and update at the last position, beside the
   same pass without.
3. The attributes rate of subjects of ParaRel on a small trained LLaMA.
4. The peak memory of every analysis of the mechanism on some facts, and on four times
   as many, each in a process of its own.

    python benchmarks/knockout.py --model FOLDER --data-dir DATA [--write]
"""

import argparse
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
import transformers
from machine import peak_bytes, processor_name
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from concord.analyses import enrichment, extraction, knockout, relations
from concord.analyses.facts import Question, questions_of
from concord.analyses.knockout import knock_out
from concord.analyses.knockout_passes import Layout
from concord.analyses.knockout_runs import Cuts, Runs, window_of
from concord.analyses.part import OtherRows, Task
from concord.analyses.probing import Probe, own_log_probabilities
from concord.data.attributes import read_attribute_texts
from concord.data.collection import Collection, read_collection
from concord.data.draw import draw_facts
from concord.data.records import Fact, FactData, Relation, Template
from concord.models.architecture import architecture_of
from concord.models.encoder import EncodedPrompt
from concord.models.hooks import Edges, Site, intervene, record
from concord.models.load import LoadedModel, load_model
from concord.models.readout import final_states
from concord.models.tokens import SubjectPositions
from concord.study import Study, resolve_study

LAYERS, WINDOW, SUBJECTS = 32, 9, 2000
ENRICHMENT = {"top_k": 20}
"""The small tokenizer has 32 words of three letters or more."""
SETS = ("subject", "non_subject", "last")
LEAST_TIME_RATIO, MOST_OF_TREE = 12.0, 1.2
MOST_DIFFERENCE, MOST_OVERHEAD = 1e-10, 0.10
MOST_SECONDS = 60.0
FEWER_FACTS, MORE_FACTS, MOST_GROWTH = 1200, 4800, 1.1
MECHANISM = {
    "enrichment": enrichment.run,
    "relations": relations.run,
    "extraction": extraction.run,
    "knockout": knockout.run,
}
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "knockout.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if asked.

    Returns:
        0 when every bound holds, 1 otherwise.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    study = mechanism_study(given.model, given.data_dir, enrichment=ENRICHMENT)
    loaded = load_model(study, study.base)
    rows = _knockout(loaded, study, given.layers, given.rounds)
    rows += _recording(loaded, study, given.layers, given.rounds)
    rows += _attributes(loaded, study, given.data_dir, given.subjects)
    rows += _memory(given.model, given.data_dir)
    page = _page(rows)
    print(page)
    if given.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
    return int(any(row[-1] == "no" for row in rows))


def mechanism_study(model: Path, data_dir: Path, **changes: Any) -> Study:
    """A study of a model and itself in the study's contexts, with these changes."""
    return resolve_study(
        {
            "base": {"source": str(model), "label": "base"},
            "tuned": [{"source": str(model), "label": "tuned"}],
            "analyses": ["enrichment"],
            "contexts": ["study"],
            "data_dir": str(data_dir),
        },
        changes,
    )


def _synthetic(
    loaded: LoadedModel, study: Study, layers: int, dtype: torch.dtype
) -> tuple[Task, list[Probe], list[Cuts]]:
    """A random LLaMA, prompts of 10 to 12 tokens, and where their subject stands."""
    vocabulary = len(loaded.tokenizer)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LlamaForCausalLM(config).eval()
    nn.Module.to(network, dtype)
    network.set_attn_implementation("sdpa")
    model = replace(loaded, network=network, architecture=architecture_of(network))
    draw = random.Random(0)
    template = Template("r", 0, "[X]", "[X] [Y]")
    fact = Fact("r:s", "r", "s", ("o",), is_trivial=False)
    question = Question(
        Relation("r", (template,), (fact,), ("o",)), fact, template, "s"
    )
    probes, cuts = [], []
    for index in range(8):
        length = 10 + index % 3
        ids = tuple(draw.randrange(3, vocabulary) for _ in range(length))
        prompt = EncodedPrompt("s", ids, ((0, 0),) * length)
        probes.append(
            Probe(question, prompt, (0, 1), SubjectPositions((1, 2, 3), False))
        )
        others = (0, *range(4, length - 1))
        cuts.append(
            {"subject": (1, 2, 3), "non_subject": others, "last": (length - 1,)}
        )
    return Task(model, Collection(FactData((), {}), ()), study), probes, cuts


def _separately(
    task: Task, probes: Sequence[Probe], cuts: Sequence[Cuts], runs: Runs
) -> np.ndarray:
    """One pass for every window and set, all prompts in a batch."""
    model = task.model
    width = max(len(probe.prompt.ids) for probe in probes)
    ids = torch.zeros((len(probes), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, probe in enumerate(probes):
        ids[row, : len(probe.prompt.ids)] = torch.tensor(probe.prompt.ids)
        mask[row, : len(probe.prompt.ids)] = 1
    last = mask.sum(dim=1) - 1
    rows = torch.arange(len(probes))
    cuts_made = [(name, c) for name in runs.sets for c in range(runs.layer_count)]
    cases = [(None, 0), *cuts_made]
    found = []
    with torch.inference_mode():
        for name, centre in cases:
            cut: dict[Site, Edges] = {}
            if name is not None:
                edges = _edges_of([cut[name] or () for cut in cuts], last)
                blocks = window_of(centre, runs.width, runs.layer_count)
                cut = {("mhsa", block): edges for block in blocks}
            with intervene(model.network, model.architecture, cut=cut):
                states = final_states(model.network, model.architecture, ids, mask)
            found.append(own_log_probabilities(model, states[rows, last])[:, 5])
    return torch.stack(found, dim=1).double().numpy()


def _edges_of(keys: Sequence[tuple[int, ...]], last: torch.Tensor) -> Edges:
    rows = [row for row, own in enumerate(keys) for _ in own]
    return Edges(
        rows=torch.tensor(rows),
        queries=last[rows],
        keys=torch.tensor([key for own in keys for key in own]),
    )


def _knockout(
    loaded: LoadedModel, study: Study, layers: int, rounds: int
) -> list[tuple[str, ...]]:
    answers = np.full((8, 2), 5)
    runs = Runs(SETS, layers, WINDOW)
    ways: dict[torch.dtype, list[Callable[[], np.ndarray]]] = {}
    layouts: tuple[Layout, ...] = ("growing", "tree")
    for dtype in (torch.float32, torch.float64):
        task, probes, cuts = _synthetic(loaded, study, layers, dtype)
        in_one = partial(knock_out, task, probes, answers, runs=runs, cuts=cuts)
        ways[dtype] = [
            lambda layout=layout, in_one=in_one: in_one(layout=layout).log_probability[
                :, :, 1
            ]
            for layout in layouts
        ]
        ways[dtype].append(partial(_separately, task, probes, cuts, runs))
    exact = [way() for way in ways[torch.float64]]
    difference = max(float(np.abs(one - exact[-1]).max()) for one in exact[:-1])
    grown, tree, separate = _best_of(ways[torch.float32], rounds)
    return [
        (
            f"all windows of 3 sets, {layers} blocks, window {WINDOW}, 8 prompts of 10 "
            "to 12 tokens, one growing tree each",
            f"{1000 * grown:.0f} ms",
            "",
            "",
        ),
        ("the same as one tree each", f"{1000 * tree:.0f} ms", "", ""),
        (f"the same as {runs.count} passes", f"{1000 * separate:.0f} ms", "", ""),
        _bound(
            "passes / growing tree",
            separate / grown,
            "x",
            LEAST_TIME_RATIO,
            is_least=True,
        ),
        _bound("growing tree / tree", grown / tree, "x", MOST_OF_TREE),
        _bound("largest difference in float64", difference, "", MOST_DIFFERENCE),
    ]


def _recording(
    loaded: LoadedModel, study: Study, layers: int, rounds: int
) -> list[tuple[str, ...]]:
    task, _, _ = _synthetic(loaded, study, layers, torch.float32)
    model = task.model
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 400, (32, 16), generator=generator)
    mask, last = torch.ones_like(ids), torch.full((32, 1), 15)
    sites: list[Site] = [("hidden", layer) for layer in range(layers + 1)]
    for layer in range(layers):
        sites.append(("mhsa", layer))
        sites.append(("mlp", layer))

    def plain() -> None:
        with torch.inference_mode():
            final_states(model.network, model.architecture, ids, mask)

    def recorded() -> None:
        with (
            torch.inference_mode(),
            record(model.network, model.architecture, sites, last),
        ):
            final_states(model.network, model.architecture, ids, mask)

    seconds = _best_of((plain, recorded), 4 * rounds)
    overhead = seconds[1] / seconds[0] - 1
    return [
        _bound(
            f"time added by recording {len(sites)} sites, 32 prompts of 16 tokens",
            overhead,
            "",
            MOST_OVERHEAD,
        )
    ]


def _attributes(
    loaded: LoadedModel, study: Study, data_dir: Path, count: int
) -> list[tuple[str, ...]]:
    data = read_collection(study)
    assert data.facts is not None
    texts = read_attribute_texts(data_dir / "attributes")
    facts = _with_subjects(data.facts, set(texts.texts), count)
    task = Task(loaded, Collection(facts, (), attributes=texts), study)
    started = time.process_time()
    rows = sum(part.rows.num_rows for part in enrichment.run(task))
    seconds = time.process_time() - started
    subjects = len({fact.subject for fact in facts.facts})
    prompts = len(questions_of(facts))
    assert rows == 3 * prompts
    return [
        _bound(
            f"attributes rate of {subjects:,} subjects, {rows:,} rows in 3 contexts",
            seconds,
            " s",
            MOST_SECONDS,
        )
    ]


def _memory(model: Path, data_dir: Path) -> list[tuple[str, ...]]:
    """Peak memory with few facts and with many, each in a process of its own."""
    peaks = []
    for count in (FEWER_FACTS, MORE_FACTS):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            peaks.append(pool.apply(_peak_of, (model, data_dir, count)))
    megabytes = " and ".join(f"{peak / 1e6:.0f} MB" for peak in peaks)
    name = f"peak memory of all four analyses, {FEWER_FACTS} and {MORE_FACTS:,} facts"
    return [
        (name, megabytes, "", ""),
        _bound("the latter / the former", peaks[1] / peaks[0], "x", MOST_GROWTH),
    ]


def _peak_of(model: Path, data_dir: Path, count: int) -> int:
    """Bytes at most while every part is measured and let go of."""
    torch.set_num_threads(1)
    study = mechanism_study(model, data_dir, enrichment=ENRICHMENT)
    loaded = load_model(study, study.base)
    data = read_collection(study)
    assert data.facts is not None
    texts = read_attribute_texts(data_dir / "attributes")
    facts = draw_facts(data.facts, count)
    # Rates need few templates to be the same work per prompt.
    facts = replace(
        facts,
        relations=tuple(
            replace(relation, templates=relation.templates[:2])
            for relation in facts.relations
        ),
    )
    task = Task(
        loaded,
        Collection(facts, (), attributes=texts),
        study,
        measured=first_candidates(facts),
    )
    for analysis in MECHANISM.values():
        for _ in analysis(task):
            pass
    return peak_bytes()


def first_candidates(data: FactData) -> OtherRows:
    """Rows of `facts` that name the first candidate, so that nothing is scored here."""
    questions = questions_of(data)
    rows = pa.table(
        {
            "fact": [question.fact.id for question in questions],
            "template": [question.template.index for question in questions],
            "prediction_index": [0] * len(questions),
        }
    )

    def read(
        analysis: str,
        /,
        *,
        columns: list[str] | None = None,
        filter: pc.Expression | None = None,
    ) -> pa.Table | None:
        return rows if analysis == "facts" else None

    return read


def _with_subjects(data: FactData, known: set[str], count: int) -> FactData:
    """The facts of the first subjects that have texts."""
    names = list(dict.fromkeys(f.subject for f in data.facts if f.subject in known))
    kept = set(random.Random(0).sample(names, min(count, len(names))))
    relations = []
    for relation in data.relations:
        facts = tuple(fact for fact in relation.facts if fact.subject in kept)
        if facts:
            relations.append(replace(relation, facts=facts))
    return replace(data, relations=tuple(relations))


def _best_of(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Least seconds of each function, taken in turn."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for index, function in enumerate(functions):
            started = time.process_time()
            function()
            best[index] = min(best[index], time.process_time() - started)
    return best


def _bound(
    name: str, value: float, unit: str, bound: float, *, is_least: bool = False
) -> tuple[str, ...]:
    holds = value >= bound if is_least else value <= bound
    word = "at least" if is_least else "at most"
    return (
        name,
        f"{value:.3g}{unit}",
        f"{word} {bound:g}{unit}",
        "yes" if holds else "no",
    )


def _page(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [
        "# Knockout, recording, attributes rates",
        "",
        "Made by `python benchmarks/knockout.py --model FOLDER --data-dir DATA --write`"
        " on one thread, in process time; weights of the 32 blocks are random, the"
        " attributes rate is of a trained LLaMA of 260 thousand parameters. PyTorch "
        f"{torch.__version__}, transformers {transformers.__version__}, "
        f"{processor_name()}.",
        "",
        "| what | measured | bound | holds |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "All cuts of a prompt share one pass: the last token is repeated behind the"
        " prompt, and each copy loses its own edges in its own window of blocks. In a"
        " growing tree a copy enters at the first block of its window. Memory is read"
        " while every part is measured and let go of, as a run does.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
