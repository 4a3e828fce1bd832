"""A base, a tuned model and data so small that a whole study takes a second."""

import json
from pathlib import Path
from typing import Any

import torch
from tiny_models import tiny_model, tiny_tokenizer

SUBJECTS = ("Ada Stone", "Ben Hill", "Cara Wood", "Dan Reed", "Eva Lake", "Finn Moor")
TOWNS = ("Avon", "Brill", "Corby", "Dover")
CRAFTS = ("baker", "actor", "smith")


def write_model(folder: Path, *, family: str = "llama", seed: int = 0) -> Path:
    """A random model with its tokenizer, saved as a user's folder would be."""
    tokenizer = tiny_tokenizer(bos=family == "llama")
    network = tiny_model(family, seed=seed, vocabulary=len(tokenizer))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tuned(base: Path, folder: Path, *, size: float = 0.05) -> Path:
    """The base with a little noise on every weight."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(size * noise)
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def write_data(folder: Path) -> Path:
    """ParaRel with two relations, MRPC and TaPaCo with a few rows, as published."""
    _write_relation(
        folder / "pararel",
        "P19",
        ["[X] was born in [Y].", "[X] is originally from [Y].", "[X] comes from [Y] ."],
        [(name, TOWNS[i % len(TOWNS)]) for i, name in enumerate(SUBJECTS)],
    )
    _write_relation(
        folder / "pararel",
        "P106",
        ["[X] works as [Y].", "The profession of [X] is [Y]."],
        [(name, CRAFTS[i % len(CRAFTS)]) for i, name in enumerate(SUBJECTS)],
    )
    _write_mrpc(folder / "mrpc")
    _write_tapaco(folder / "tapaco")
    return folder


def _write_relation(
    folder: Path, name: str, patterns: list[str], tuples: list[tuple[str, str]]
) -> None:
    templates = [
        {"pattern": p, "lemma": "be", "extended_lemma": "be", "tense": "past"}
        for p in patterns
    ]
    facts = [
        {"sub_label": subject, "obj_label": target, "uuid": f"{name}-{i}"}
        for i, (subject, target) in enumerate(tuples)
    ]
    write_lines(folder / "graphs_json" / f"{name}.jsonl", templates)
    write_lines(folder / "trex_lms_vocab" / f"{name}.jsonl", facts)


def _write_mrpc(folder: Path) -> None:
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    rows = [
        f"{i % 2}\t{i}\t{i + 100}\tThe {a} met a baker .\tA baker was met by the {b} ."
        for i, (a, b) in enumerate(zip(TOWNS * 3, TOWNS[::-1] * 3, strict=True))
    ]
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        text = "\n".join([header, *rows]) + "\n"
        (folder / f"msr_paraphrase_{split}.txt").write_text(text, "utf-8-sig")


def _write_tapaco(folder: Path) -> None:
    rows = [
        {
            "paraphrase_set_id": str(i),
            "sentence_id": f"{i}{j}",
            "paraphrase": text.format(town),
            "lists": [""],
            "tags": [""],
            "language": "en",
        }
        for i, town in enumerate(TOWNS)
        for j, text in enumerate(("I like {}.", "{} is nice.", "I am fond of {}."))
    ]
    write_lines(folder / "tapaco_en.jsonl", rows)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
