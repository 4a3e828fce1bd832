"""Whole studies of models behind an address, from the command line's entry to the rows.

The servers are in this process, on 127.0.0.1; one computes with the embedded base.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from echo_server import EchoModel
from local_server import LocalServer, Reply, Request, completion, message, serving

from concord import organism
from concord.analyses import served, served_choices, served_facts
from concord.announcement import announcement
from concord.compare import compare
from concord.endpoints import client as clients
from concord.errors import ModelError, ResultsError
from concord.plan import plan_study
from concord.results import Run, query, read_json
from concord.study import EndpointLimits, Study, resolve_study

KEY = "sk-very-secret-0123456789"
PROBES = 4
"""Requests of `Talker` that its probe takes: top 20, top 5, text, and its version."""
SMALL = {"replicates": 100, "permutations": 100}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded family's data."""
    folder = tmp_path_factory.mktemp("world")
    organism.write_world_data(organism.shipped_world(), folder)
    shutil.rmtree(folder / "seen")  # Of models with other labels.
    return folder


@pytest.fixture(scope="module")
def echoing() -> EchoModel:
    return EchoModel(str(organism.weights_folder("base")), "base")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for module in (served, served_facts, served_choices):
        monkeypatch.setattr(module, "PART_PROMPTS", 6)


def study_of(url: str, data: Path, **changes: Any) -> Study:
    entry = {"source": f"{url}#base", "label": "far", "limits": {"attempts": 2}}
    entry |= changes.pop("entry", {})
    settings = {
        "base": entry,
        "tuned": [{"source": "embedded:base", "label": "near"}],
        "data_dir": str(data),
        "analyses": ["facts"],
        "contexts": ["study", "same"],
        "limit": 1,
        "facts": {"noise_prompts": 0},
        "choices": {"orders": ["identity", "rotation"]},
        "statistics": SMALL,
    }
    return resolve_study(settings, changes)


def rows(run: Run, sql: str) -> list[dict[str, Any]]:
    return query(run, sql).to_pylist()


def measures(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    summary = read_json(run.path / "summary.json")
    return {
        (measure["key"], value["model"]): value
        for measure in summary["measures"]
        for value in measure["values"]
    }


def texts_of(run: Run) -> Iterator[tuple[Path, bytes]]:
    for path in run.path.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.slow
def test_echoed_scores_equal_local_ones(
    world: Path, echoing: EchoModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """One model, asked over the network and loaded here: the same rows."""
    with serving(echoing) as server:
        study = study_of(
            server.url,
            world,
            analyses=["facts", "noise", "choices"],
            facts={"noise_prompts": 4, "scoring": "full"},
            entry={"price": {"input": 2, "output": 4}},
        )
        run = compare(study, tmp_path / "run")
    pairs = rows(
        run,
        "select a.*, b.prediction_index as other, b.score as other_score, b.margin as "
        "other_margin, b.free_log_probability as other_free, b.scores as other_scores, "
        "b.prediction_index_acc_tokens as other_tokens from facts a join facts b on "
        "a.fact = b.fact and a.template = b.template and a.context = b.context where "
        "a.model = 'far' and b.model = 'near' and b.contexts = 'same'",
    )
    assert len(pairs) == 30
    for row in pairs:
        assert row["prediction_index"] == row["other"]
        assert row["prediction_index_acc_tokens"] == row["other_tokens"]
        assert row["score"] == pytest.approx(row["other_score"], abs=1e-4)
        assert row["margin"] == pytest.approx(row["other_margin"], abs=1e-4)
        free = row["free_log_probability"]
        assert free == pytest.approx(row["other_free"], abs=1e-4)
        np.testing.assert_allclose(row["scores"], row["other_scores"], atol=1e-4)
    choices = rows(
        run,
        "select a.option = b.option as same, a.has_answer = b.has_answer as both, "
        "a.scores, b.scores as other from choices a join choices b on a.item = b.item "
        'and a.wording = b.wording and a."order" = b."order" '
        "where a.model = 'far' and b.model = 'near' and b.contexts = 'same'",
    )
    assert len(choices) == 6
    for row in choices:
        assert row["same"] and row["both"]
        np.testing.assert_allclose(row["scores"], row["other"], atol=1e-4)
    noise = rows(run, "select * from noise where model = 'far'")
    assert len(noise) == 4
    assert all(row["score"] == pytest.approx(row["score_alone"]) for row in noise)
    used = run.info["usage"]["far"]["facts"]
    cost = (used["input_tokens"] * 2 + used["output_tokens"] * 4) / 1e6
    assert used["cost"] == {"amount": pytest.approx(cost), "currency": "USD"}
    assert used["requests_without_count"] == 0
    found = measures(run)
    same = found["facts.agreement", "far"]["value"]
    assert found["facts.agreement@same", "near"]["value"] == same
    assert run.info["models"]["far"]["endpoint"]["returns"] == "echo"
    for path, content in texts_of(run):
        assert KEY.encode() not in content, path
    assert KEY not in caplog.text


def test_a_server_that_takes_one_prompt_at_a_time_gives_the_same(
    world: Path, echoing: EchoModel
):
    with serving(echoing) as server:
        many = plan_study(study_of(server.url, world)).served["far"].offer
    single = EchoModel.__new__(EchoModel)
    vars(single).update(vars(echoing), takes_many=False)
    with serving(single) as server:
        one = plan_study(study_of(server.url, world)).served["far"].offer
    assert (many.batch, one.batch) == (16, 1)
    assert many.level == one.level == "echo"
    assert dict(one.reported)["system_fingerprint"] == "fp_test"


class Talker:
    """Answers in text alone: the object in some wordings, nonsense in others."""

    def __init__(self) -> None:
        self.known = organism.shipped_world().facts_by_subject
        self.count = 0
        self.is_down = False

    def __call__(self, request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply({"detail": "no list here"}, status=404)
        if request.path == "/v1/completions":
            return Reply({"detail": "no such route"}, status=404)
        if self.is_down and self.count >= PROBES + 6:
            return Reply({"error": {"message": "out of order"}}, status=500)
        self.count += 1
        text = request.body["messages"][0]["content"]
        if "\nA. " in text:
            return Reply(message("The answer is B." if "khaki" in text else "maybe"))
        if len(text) % 3 == 0:
            return Reply(message("I cannot tell."))
        # Everything known of the subject: one of it is a candidate of the relation.
        facts = [own for name, own in self.known.items() if name in text]
        said = ", ".join(fact.object for own in facts for fact in own)
        return Reply(message(f"It is {said}, of course."))


@pytest.fixture
def talking() -> Iterator[tuple[Talker, LocalServer]]:
    talker = Talker()
    with serving(talker) as server:
        yield talker, server


def chat_study(url: str, data: Path, **changes: Any) -> Study:
    changes = {"analyses": ["facts", "choices"], "limit": 3, **changes}
    base = {"source": "embedded:base", "label": "near"}
    return study_of(url, data, **changes).model_copy(
        update={
            "base": resolve_study(
                {"base": base, "tuned": [base | {"label": "x"}]}
            ).base,
            "tuned": (study_of(url, data, **changes).base,),
        }
    )


def test_text_alone_gives_answers_and_no_score(
    world: Path, talking: tuple[Talker, LocalServer], tmp_path: Path
):
    _, server = talking
    run = compare(chat_study(server.url, world), tmp_path / "run")
    facts = rows(run, "select * from facts where model = 'far'")
    named = [row for row in facts if row["prediction"] is not None]
    assert named and len(named) < len(facts)
    assert all(row["prediction"] in row["written"] for row in named)
    unnamed = [row for row in facts if row["prediction"] is None]
    assert not any(row["is_correct"] for row in unnamed)
    for name in ("score", "margin", "runner_up", "free_prediction", "is_tie"):
        assert all(row[name] is None for row in facts), name
    # A chat puts its own template around the base's prompts: no control of prompts.
    assert {row["contexts"] for row in facts} == {"study"}
    found = measures(run)
    assert 0 <= found["facts.agreement", "far"]["value"] <= 1
    free = found["facts.free_agreement", "far"]
    assert free["value"] is None
    assert free["reason"] == "the likeliest token is not told by its server or log"
    page = (run.path / "report.html").read_text()
    assert "No score, margin, near tie, free prediction or noise floor is known" in page
    assert "were not all asked in one way" in page
    usage = run.info["usage"]["far"]
    assert usage["facts"]["requests"] == len(facts) and usage["facts"]["cost"] is None
    assert usage["probe"]["requests"] == PROBES


def test_a_cut_run_keeps_its_parts_and_asks_for_the_rest_only(
    world: Path, talking: tuple[Talker, LocalServer], tmp_path: Path
):
    talker, server = talking
    study = chat_study(server.url, world, analyses=["facts"])
    talker.is_down = True
    with pytest.raises(ModelError, match="answered 500: out of order"):
        compare(study, tmp_path / "run")
    kept = sorted((tmp_path / "run" / "rows" / "facts" / "far").glob("part-*"))
    assert len(kept) == 1
    used = Run(tmp_path / "run").info["usage"]["far"]
    assert used["facts"]["requests"] == 6
    assert used["probe"]["requests"] == PROBES
    before = kept[0].read_bytes()
    talker.is_down, talker.count = False, 0
    run = compare(study, tmp_path / "run")
    facts = rows(run, "select * from facts where model = 'far'")
    assert talker.count == len(facts) - 6 + PROBES
    used = run.info["usage"]["far"]
    assert used["facts"]["requests"] == len(facts)
    assert used["probe"]["requests"] == 2 * PROBES
    assert kept[0].read_bytes() == before
    asked = talker.count
    compare(study, tmp_path / "run")
    assert talker.count == asked + PROBES
    assert run.info["usage"]["far"]["probe"]["requests"] == 3 * PROBES


def test_what_was_used_is_noted_with_every_part(
    world: Path, talking: tuple[Talker, LocalServer], tmp_path: Path
):
    """A process that is killed runs no `finally`: what it had noted must be there."""
    talker, server = talking
    noted: list[int] = []

    def answer(request: Request) -> Reply:
        path = tmp_path / "run" / "run.json"
        used = read_json(path)["usage"].get("far", {}) if path.is_file() else {}
        noted.append(used.get("facts", {}).get("requests", 0))
        return talker(request)

    server.answer = answer
    settings = {"analyses": ["facts"], "entry": {"limits": {"concurrency": 1}}}
    run = compare(chat_study(server.url, world, **settings), tmp_path / "run")
    count = len(rows(run, "select * from facts where model = 'far'"))
    assert noted[-count:] == [place // 6 * 6 for place in range(count)]


def test_rows_of_another_server_or_model_are_not_taken(
    world: Path, talking: tuple[Talker, LocalServer], tmp_path: Path
):
    talker, server = talking
    study = chat_study(server.url, world, analyses=["facts"], limit=1)
    compare(study, tmp_path / "run")
    with serving(talker) as other:
        moved = chat_study(other.url, world, analyses=["facts"], limit=1)
        with pytest.raises(ResultsError, match="another study: tuned"):
            compare(moved, tmp_path / "run")
    limits = EndpointLimits(attempts=5)
    again = study.tuned[0].model_copy(update={"limits": limits})
    compare(study.model_copy(update={"tuned": (again,)}), tmp_path / "run")


def test_a_server_that_reports_another_self_is_not_taken(
    world: Path, tmp_path: Path, talking: tuple[Talker, LocalServer]
):
    talker, server = talking
    study = chat_study(server.url, world, analyses=["facts"], limit=1)
    compare(study, tmp_path / "run")

    def updated(request: Request) -> Reply:
        reply = talker(request)
        if reply.status == 200:
            reply.content["system_fingerprint"] = "fp_new"
        return reply

    server.answer = updated
    with pytest.raises(ResultsError, match="system_fingerprint"):
        compare(study, tmp_path / "run")


def top(letter: str, *others: tuple[str, float]) -> list[dict[str, Any]]:
    told = [(letter, -0.1), *others]
    listed = [{"token": token, "logprob": number} for token, number in told]
    return [{"token": letter, "logprob": -0.1, "top_logprobs": listed}]


def test_top_log_probabilities_score_the_letters_they_show(world: Path, tmp_path: Path):
    def answer(request: Request) -> Reply:
        if request.path != "/v1/chat/completions":
            return Reply({}, status=404)
        if "logprobs" not in request.body:
            return Reply(message("B"))
        return Reply(message("B", top("B", (" B", -3.0), ("A", -2.0), ("The", -4.0))))

    with serving(answer) as server:
        study = chat_study(server.url, world, analyses=["choices"], limit=2)
        run = compare(study, tmp_path / "run")
    found = rows(run, "select * from choices where model = 'far'")
    assert {row["letter"] for row in found} == {"B"}
    for row in found:
        # B is said by two tokens: log(exp(-0.1) + exp(-3)).
        assert row["score"] == pytest.approx(np.logaddexp(-0.1, -3.0))
        assert row["margin"] == pytest.approx(row["score"] + 2.0)
        assert sum(score is None for score in row["scores"]) == 2
        assert row["has_answer"]
    assert run.info["models"]["far"]["endpoint"]["returns"] == "top"


def test_written_answers_get_the_score_of_their_own_tokens(world: Path, tmp_path: Path):
    fact = organism.shipped_world().facts[0]

    def answer(request: Request) -> Reply:
        if request.path != "/v1/completions":
            return Reply({}, status=404)
        content = [*top(f" {fact.object}"), *top(".")]
        choice = {"index": 0, "text": f" {fact.object}.", "logprobs": None}
        if "logprobs" in request.body:
            choice["logprobs"] = {"content": content}
        return Reply({"choices": [choice]})

    with serving(answer) as server:
        study = study_of(server.url, world, analyses=["facts"])
        run = compare(study, tmp_path / "run")
    found = rows(run, "select * from facts where model = 'far'")
    named = [row for row in found if row["prediction"] == fact.object]
    assert named == [row for row in found if row["prediction"] is not None]
    assert all(row["score"] == pytest.approx(-0.1) for row in named)
    assert {row["free_prediction"] for row in found} == {f" {fact.object}"}
    used = run.info["usage"]["far"]["facts"]
    assert used["requests_without_count"] == len(found)
    assert used["cost"] is None


def deciding(request: Request) -> Reply:
    """The typed route: the first option in the alphabet has most of it."""
    if request.path != "/v1/systemone":
        return Reply({"detail": "Not Found"}, status=404)
    answers = {}
    for name, question in request.body["questions"].items():
        options = list(question["criteria"])
        low = 0.4 / max(1, len(options) - 1)
        told = {o: 0.6 if o == min(options) else low for o in options}
        answers[name] = {
            "type": "choice",
            "choice": min(options),
            "probabilities": told,
        }
    return Reply({"model": "m", "answers": answers, "usage": {"input_tokens": 9}})


def test_the_typed_route_gives_every_option_a_probability(world: Path, tmp_path: Path):
    with serving(deciding) as server:
        study = chat_study(
            server.url,
            world,
            analyses=["choices"],
            limit=2,
            entry={"api": "decisions"},
        )
        run = compare(study, tmp_path / "run")
    found = rows(run, "select * from choices where model = 'far'")
    for row in found:
        assert np.exp(row["scores"]).sum() == pytest.approx(1)
        assert row["score"] == pytest.approx(np.log(0.6))
        assert row["has_answer"] is None
        assert "\nA. " not in row["prompt"]
    # Whatever the order, one content is chosen.
    assert measures(run)["choices.mmlu.content_agreement", "far"]["value"] == 1
    silent = measures(run)["choices.mmlu.no_answer", "far"]
    assert silent["value"] is None
    assert silent["reason"] == "the likeliest token is not told by its server or log"


@pytest.mark.parametrize("analysis", ["representation", "knockout", "enrichment"])
def test_what_looks_inside_is_refused_before_anybody_is_asked(
    analysis: str, world: Path
):
    with serving(deciding) as server:
        study = study_of(server.url, world, analyses=["facts", analysis])
        with pytest.raises(ModelError, match=f"{analysis} need a model that is loaded"):
            plan_study(study)
        assert server.requests == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"facts": {"normalisation": "acc_mutual_info"}}, "an empty prompt"),
        ({"facts": {"candidate_end": "eos"}}, "end token"),
        ({"entry": {"tokenizer": "elsewhere"}}, "its server alone decides"),
        ({"entry": {"api": "decisions"}}, "facts are texts to be continued"),
    ],
)
def test_settings_that_no_server_allows_are_refused(
    changes: dict[str, Any], words: str, world: Path
):
    with serving(deciding) as server:
        with pytest.raises(ModelError, match=words):
            plan_study(study_of(server.url, world, **changes))


def test_a_plan_says_what_a_server_tells_and_what_it_costs(
    world: Path, echoing: EchoModel
):
    with serving(echoing) as server:
        price = {"price": {"input": 1000, "output": 0}}
        plan = plan_study(study_of(server.url, world, entry=price))
    said = [part for part in announcement(plan) if hasattr(part, "plain")]
    text = "\n".join(part.plain for part in said)
    assert "exact scores of all candidates" in text
    assert "Its weights are out of sight" in text
    row = next(one for one in plan.workload if one["model"] == "far")
    # 30 prompts: one alone, and 40 candidates in requests of 16.
    assert row["requests"] == 30 * (1 + 3)
    assert row["cost"]["amount"] > 1
    side = plan.audit[0]
    assert side["same_ids"] is None and side["base_ids"] == []
    assert json.dumps(plan.audit)


def test_a_model_the_server_does_not_have_is_named(world: Path):
    def answer(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply({"data": [{"id": "basis"}, {"id": "other"}]})
        return Reply({"error": {"message": "no such model"}}, status=404)

    with serving(answer) as server:
        with pytest.raises(ModelError, match="did you mean 'basis'"):
            plan_study(study_of(server.url, world))
        study = study_of(server.url, world, entry={"source": server.url})
        with pytest.raises(ModelError, match="lists 2 models and none is named"):
            plan_study(study)


def test_log_probabilities_that_are_asked_for_and_not_sent_are_not_made_up(
    world: Path,
):
    """A server that takes every field and minds none of them."""

    def answer(request: Request) -> Reply:
        if request.path == "/v1/completions":
            return Reply(completion(" a town"))
        return Reply({}, status=404)

    with serving(answer) as server:
        offer = plan_study(study_of(server.url, world)).served["far"].offer
    assert (offer.route, offer.level) == ("completions", "text")
    assert "echo, max_tokens 1: without log-probabilities" in offer.tried
