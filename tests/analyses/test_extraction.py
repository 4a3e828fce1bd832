"""Extraction events against the planted circuit and against one pass per prompt."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from planted_circuit import ATTRIBUTES, planted_task

from concord.analyses import extraction, facts
from concord.analyses.part import OtherRows, Task
from concord.data.collection import read_collection
from concord.errors import ModelError
from concord.models.hooks import record
from concord.models.load import load_model
from concord.plan import plan_study
from concord.study import resolve_study


def rows_of(task: Task) -> list[dict[str, Any]]:
    return pa.concat_tables([p.rows for p in extraction.run(task)]).to_pylist()


def task_of(settings: dict[str, Any], place: int = 0, **changes: Any) -> Task:
    study = resolve_study(settings, {"analyses": ["extraction"]}, changes)
    return Task(load_model(study, study.models[place]), read_collection(study), study)


def _only(facts_rows: pa.Table) -> OtherRows:
    """Reads as a run does: asked columns and rows only."""

    def read(analysis, /, *, columns=None, filter=None):
        if analysis != "facts":
            return None
        kept = facts_rows if filter is None else facts_rows.filter(filter)
        return kept if columns is None else kept.select(columns)

    return read


def events(rows: list[dict[str, Any]], column: str) -> np.ndarray:
    return (np.array([row[column] for row in rows]) == 0).mean(axis=0)


def test_the_planted_circuit_extracts_in_attention_of_block_4_alone():
    rows = rows_of(planted_task())
    assert [row["free_token"] for row in rows] == np.repeat(ATTRIBUTES, 2).tolist()
    for target in ("free", "prediction", "object"):
        assert events(rows, f"mhsa_rank_{target}").tolist() == [0, 0, 0, 0, 1, 0]
        # A zero update makes all scores equal: a tie, no event, 26 tokens as high
        # less the padding token, which is no text.
        assert events(rows, f"mlp_rank_{target}").tolist() == [0] * 6
        assert all(row[f"mlp_rank_{target}"][5] == 25 for row in rows)


def test_its_twin_without_extraction_has_no_event():
    rows = rows_of(planted_task(has_extraction=False))
    for sublayer in ("mhsa", "mlp"):
        assert not events(rows, f"{sublayer}_rank_object").any()


@pytest.mark.parametrize("norm", ["none", "final"])
def test_ranks_and_scores_equal_sorting_one_prompt_at_a_time(
    settings: dict[str, Any], norm
):
    task = task_of(settings, 1, extraction={"norm": norm})
    network, tokenizer = task.model.network, task.model.tokenizer
    measured = rows_of(task)
    answers = pa.concat_tables([p.rows for p in facts.run(task)]).to_pylist()
    assert len(measured) == len(answers) == 180
    keys = ("contexts", "context", "fact", "template")
    weight = network.get_output_embeddings().weight
    for row, answer in list(zip(measured, answers, strict=True))[::7]:
        assert [row[key] for key in keys] == [answer[key] for key in keys]
        ids = tokenizer(answer["prompt"]).input_ids
        sites = [(kind, layer) for kind in ("mhsa", "mlp") for layer in range(3)]
        with (
            torch.inference_mode(),
            record(network, task.model.architecture, sites) as kept,
        ):
            logs = network(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        named = {
            "free": answer["free_prediction"],
            "prediction": first_token(task, answer["prompt"], answer["prediction"]),
            "object": first_token(task, answer["prompt"], answer["object"]),
        }
        for target, token in named.items():
            assert row[f"{target}_token"] == token
            number = tokenizer.convert_tokens_to_ids(token)
            assert row[f"{target}_log_probability"] == pytest.approx(
                float(logs[number]), abs=1e-4
            )
            for kind, layer in sites:
                update = kept[kind, layer][0, -1]
                if norm == "final":
                    update = network.model.norm(update)
                scores = (update @ weight.T)[: len(tokenizer)]
                scores[tokenizer.pad_token_id] = -torch.inf
                order = scores.argsort(descending=True).tolist()
                assert row[f"{kind}_rank_{target}"][layer] == order.index(number)
                assert row[f"{kind}_logit_{target}"][layer] == pytest.approx(
                    float(scores[number]), abs=1e-4
                )


def first_token(task: Task, prompt: str, candidate: str) -> str:
    tokenizer = task.model.tokenizer
    front = tokenizer(prompt).input_ids
    whole = tokenizer(f"{prompt} {candidate}").input_ids
    return tokenizer.convert_ids_to_tokens(whole[len(front)])


def test_the_last_subject_position_reads_the_enriching_mlp():
    task = planted_task(extraction={"position": "last_subject"})
    rows = rows_of(task)
    assert events(rows, "mlp_rank_object").tolist() == [0, 1, 0, 0, 0, 0]
    # There no query reads anything, so attention is even and takes itself along.
    assert events(rows, "mhsa_rank_object").tolist() == [0, 0, 0, 0, 1, 0]


def test_predictions_measured_before_are_not_scored_again():
    task = planted_task()
    table = pa.concat_tables([part.rows for part in facts.run(task)])
    fewer = replace(task, measured=_only(table))
    assert rows_of(fewer) == rows_of(task)
    wrong = table.set_column(
        table.schema.get_field_index("prediction_index"),
        "prediction_index",
        pa.array([ATTRIBUTES.index("Cairo")] * len(table), pa.int32()),
    )
    changed = rows_of(replace(task, measured=_only(wrong)))
    assert {row["prediction_token"] for row in changed} == {"Cairo"}


def test_finished_parts_are_not_measured_again(settings: dict[str, Any]):
    task = task_of(settings)
    names = [part.name for part in extraction.run(task)]
    left = list(extraction.run(replace(task, finished=frozenset(names[1:]))))
    assert [part.name for part in left] == names[:1]


def test_batches_of_one_row_give_the_same_events(settings: dict[str, Any]):
    many = rows_of(task_of(settings))
    alone = rows_of(task_of(settings, batch_size=1))
    for one, other in zip(many, alone, strict=True):
        assert one["mlp_rank_free"] == other["mlp_rank_free"]
        np.testing.assert_allclose(
            one["mhsa_logit_free"], other["mhsa_logit_free"], atol=1e-4
        )


def test_an_encoder_decoder_model_is_refused_before_it_is_loaded(
    settings: dict[str, Any], tmp_path
):
    from small_study import write_model

    folder = write_model(tmp_path / "t5", family="t5")
    study = resolve_study(
        settings | {"tuned": [str(folder)]}, {"analyses": ["extraction", "knockout"]}
    )
    with pytest.raises(ModelError, match="decoder-only.*leave these out"):
        plan_study(study)
