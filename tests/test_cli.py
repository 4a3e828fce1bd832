import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
import yaml
from rich.console import Console

from concord import cli
from concord.cli import main
from concord.commands.settings import apply_model_args, layers_of
from concord.errors import StudyError
from concord.results import open_run, query
from concord.study import MECHANISM, preset_names
from concord.summary.by_fact import FILE


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    code = caught.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def study_file(settings: dict[str, Any], tmp_path: Path) -> Path:
    settings["analyses"] = ["facts"]
    settings["facts"] = {"noise_prompts": 4}
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom concord.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compare" in done.stdout


def test_compare_ends_with_a_table_and_the_path_of_the_report(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "run"
    code = run(
        "compare",
        settings["base"],
        settings["tuned"][0],
        f"--data_dir={settings['data_dir']}",
        "--analysis",
        "facts",
        "--limit",
        6,
        "--set",
        "facts.noise_prompts=4",
        "--set",
        "statistics={replicates: 100, permutations: 100}",
        "--output",
        output,
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "Agreement" in printed
    assert printed.strip().endswith(str(output / "report.html"))
    assert (output / "report.html").is_file()
    study = yaml.safe_load((output / "study.yaml").read_text(encoding="utf-8"))
    assert study["limit"] == 6


def test_every_fact_s_mechanism_numbers_are_a_file_of_the_run(
    study_file: Path, tmp_path: Path
):
    output = tmp_path / "run"
    both = ("--analysis", "facts,extraction", "--limit", 6)
    assert run("compare", "--study", study_file, *both, "-o", output, "--quiet") == 0
    table = pq.read_table(output / FILE)
    # 6 facts under the study's contexts and under the base's.
    assert table.num_rows == 12
    assert table["extraction_any_tuned"].null_count == 0


@pytest.mark.parametrize("analysis", MECHANISM)
def test_a_mechanism_alone_has_no_headline_and_says_so(
    analysis: str, study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "run"
    small = ("--set", "enrichment.top_k=5", "--set", "relations.pairs=5")
    only = ("--analysis", analysis, "--limit", 6)
    assert run("compare", "--study", study_file, *only, *small, "-o", output) == 0
    assert "no headline measure in this run" in capsys.readouterr().out
    assert (output / "report.html").is_file()


def test_the_plan_is_shown_before_any_model_is_loaded(
    study_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    def never(*arguments: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("concord.models.loader.load_model", never)
    assert run("validate", study_file) == 0
    printed = capsys.readouterr().out
    assert "What will be measured" in printed
    assert "<s>:1" in printed
    assert "can be run" in printed


@pytest.mark.parametrize("device", ["cudda", "cuda:64"])
def test_a_device_that_is_not_there_is_refused_before_the_plan(
    device: str, study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = study_file.read_text(encoding="utf-8")
    named = yaml.safe_dump({**yaml.safe_load(text), "device": device})
    study_file.write_text(named, encoding="utf-8")
    output = tmp_path / "run"
    # A study for another machine can be looked at here.
    is_device = device != "cudda"
    assert run("validate", study_file) == (0 if is_device else 2)
    assert ("can be run" in capsys.readouterr().out) == is_device
    assert run("compare", "-o", output, "--study", study_file) == 2
    printed = capsys.readouterr()
    assert f"device: found '{device}'" in printed.err
    assert printed.out == "" and not output.exists()


def test_report_draws_a_run_again(study_file: Path, tmp_path: Path):
    output = tmp_path / "run"
    assert run("compare", "--study", study_file, "-o", output, "--quiet") == 0
    page = (output / "report.html").read_bytes()
    (output / "report.html").unlink()
    (output / "summary.json").unlink()
    assert run("report", output) == 0
    assert (output / "report.html").read_bytes() == page


def test_a_report_needs_no_torch(study_file: Path, tmp_path: Path):
    output = tmp_path / "run"
    run("compare", "--study", study_file, "-o", output, "--quiet")
    code = (
        "import sys\nfrom concord.cli import main\n"
        f"try:\n    main(['report', {str(output)!r}])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "one"], "needed a base and one or more tuned"),
        (["compare"], "every study names a base"),
        (["compare", "./no/where", "./no/there"], "no such folder"),
        (["compare", "a", "b", "--set", "facts"], "needed FIELD=VALUE"),
        (["compare", "a", "b", "--set", "facts.scorin=top"], "did you mean 'scoring'"),
        (["compare", "a", "b", "--analysis", "fact"], "did you mean 'facts'"),
        (["compare", "a", "b", "--model-args", "revision"], "needed key=value"),
        (["compare", "a", "b", "--model-args", "c:bos=never"], "Known: a, b"),
        (["compare", "a", "b", "--preset", "demos"], "did you mean 'demo'"),
        (["compare", "a", "b", "--batch-size", "many"], "many"),
        (["validate", "no.yaml"], "cannot read the study file"),
        (["report", "no-run"], "found no study.yaml"),
        (["data", "get", "pararell"], "did you mean 'pararel'"),
        (["comparee"], "comparee"),
        (["compare", "--limmit", "3"], "--limmit"),
        (["compare", "a", "b", "--seed", "x"], "'--seed'"),
        (["flips", "run", "--limit", "-1"], "'--limit'"),
        (["import", "a", "b", "--replicates", "10"], "'--replicates'"),
        (["models", "inspect", ""], "source: found ''; needed a text"),
        (["models", "inspect", "http://h/v1?key=x"], "without user, password"),
        (["models", "inspekt", "x"], "No such command 'inspekt'"),
        (["compare", "--preset", "demo"], "run concord demo"),
        (["compare", "embedded:base", "x/y"], "data sets pararel, mrpc, tapaco;"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
):
    assert run(*arguments) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert ".;" not in printed and "?;" not in printed
    assert "Traceback" not in printed


_ASKED = ("compare", "embedded:base", "embedded:wordings", "--data-dir", ".")


@pytest.mark.parametrize(
    "arguments",
    [
        (*_ASKED, "-o"),
        ("demo", "--quick", "-o"),
        ("import", "a", "b", "--group", "doc_id", "-o"),
        ("models", "recover", "embedded:base", "embedded:wordings"),
        ("organism", "build"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("place", ["file", "file/below", "/proc/concord"])
def test_a_place_that_cannot_be_written_is_refused_at_once(
    arguments: tuple[str, ...],
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "file").touch()
    assert run(*arguments, tmp_path / place) == 2
    printed = capsys.readouterr()
    assert "needed a folder to write into" in printed.err
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("group", [[], ["data"], ["models"], ["organism"], ["export"]])
def test_commands_are_listed_in_sentences_that_fit(
    group: list[str], capsys: pytest.CaptureFixture[str]
):
    assert run(*group, "--help") == 0
    asked = capsys.readouterr().out
    assert "Commands:" in asked and "..." not in asked.partition("Commands:")[2]
    assert run(*group) == 2
    unasked = capsys.readouterr()
    assert (unasked.out.strip(), unasked.err) == (asked.strip(), "")


def test_help_names_every_preset_and_analysis():
    group: Any = typer.main.get_command(cli.app)
    parameters = {
        one.name: str(one.help)
        for one in group.commands["compare"].params
        if hasattr(one, "help")
    }
    assert all(name in parameters["preset"] for name in preset_names())
    # The noise floor comes with the facts.
    named = set(cli.KNOWN_ANALYSES) - {"noise"}
    assert all(name in parameters["analysis"] for name in named)


def test_data_of_their_own_may_be_asked_of_embedded_models(data_dir: Path):
    models = {"base": "embedded:base", "tuned": ["embedded:wordings"]}
    for settings in (
        {"data_dir": data_dir},
        {"analyses": ["facts"], "facts": {"source": "facts.csv"}},
        {"analyses": ["choices"], "choices": {"datasets": ["questions.jsonl"]}},
        {"analyses": ["finetuned"], "finetuned": {"tasks": [str(data_dir)]}},
    ):
        assert cli._resolve([models, settings]).base.label == "base"
    with pytest.raises(StudyError, match="becel"):
        cli._resolve([models, {"analyses": ["finetuned"]}])


def test_each_step_is_told_once(
    study_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    assert run("compare", "--study", study_file, "-o", tmp_path / "run") == 0
    printed = capfd.readouterr()
    lines = [*printed.out.splitlines(), *printed.err.splitlines()]
    ended = [line for line in lines if re.search(r" in \d+\.\d s$", line)]
    steps = [line.partition(": ")[0] + line.split(":")[1] for line in ended]
    assert len(steps) == len(set(steps))
    assert printed.err == ""


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def bug(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "layers_of", bug)
    with pytest.raises(ZeroDivisionError):
        main(["compare", "a", "b"])


def test_model_args_reach_the_model_they_name():
    layers: list[dict[str, Any]] = [{"base": "x/a", "tuned": ["x/b", "x/c"]}]
    apply_model_args(layers, ["revision=main", "b:bos=never,tokenizer=t"], False)
    entries = {e["label"]: e for e in [layers[0]["base"], *layers[0]["tuned"]]}
    assert {e["revision"] for e in entries.values()} == {"main"}
    assert entries["b"]["tokenizer"] == "t"
    assert "bos" not in entries["c"]


def test_apply_chat_template_asks_tuned_models_in_theirs():
    layers: list[dict[str, Any]] = [{"base": "x/a", "tuned": ["x/b"]}]
    apply_model_args(layers, None, True)
    assert layers[0]["tuned"][0]["prompt_format"] == "chat"
    assert "prompt_format" not in layers[0]["base"]


def test_the_command_line_wins_over_the_file(tmp_path: Path):
    file = tmp_path / "study.yaml"
    file.write_text("base: a\ntuned: [b]\nseed: 1\nlimit: 5\n", encoding="utf-8")
    layers = layers_of(None, file, "quick", {"seed": 2}, ["limit=7"])
    study = cli._resolve(layers)
    assert (study.seed, study.limit) == (2, 7)
    assert study.base.source == "a"
    assert study.preset == "quick"


def test_data_check_counts_what_is_there(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("data", "check", "--data-dir", data_dir) == 0
    assert "12 facts" in capsys.readouterr().out


def test_data_list_names_every_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CONCORD_DATA", str(tmp_path / "none"))
    assert run("data", "list") == 0
    printed = capsys.readouterr().out
    for name in ("pararel", "mrpc", "tapaco", "MIT", "CC BY"):
        assert name in printed


def test_data_of_unknown_origin_is_given_no_licence(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
):
    monkeypatch.setenv("CONCORD_DATA", str(tmp_path / "none"))
    found = ("pararel", "mrpc", "tapaco")
    place, wide = data_dir, Console(width=300)
    monkeypatch.setattr("concord.commands.data.out", wide)
    assert run("data", "list", "--data-dir", place) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("│")[1].strip(): line for line in lines if "│" in line}
    for name in found:
        assert str(place) in rows[name] and "not fetched by concord" in rows[name]
    assert "MIT" in rows["mmlu"]


@pytest.mark.parametrize("command", ["list", "check"])
def test_a_data_folder_that_is_not_there_is_named(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("data", command, "--data-dir", tmp_path / "no") == 2
    printed = capsys.readouterr()
    assert "no such folder" in printed.err and printed.out == ""
    assert "data get NAME" not in printed.err


def test_data_get_names_both_ways_to_another_folder(
    capsys: pytest.CaptureFixture[str],
):
    assert run("data", "get", "pararel", "--data-dir", "/proc/x", "-q") == 2
    assert "(--data-dir, or CONCORD_DATA)" in capsys.readouterr().err


def test_version_names_what_numbers_hang_on(capsys: pytest.CaptureFixture[str]):
    assert run("version") == 0
    printed = capsys.readouterr().out
    assert "concord" in printed and "torch 2." in printed


def test_ctrl_c_exits_130_and_keeps_what_was_measured(study_file: Path, tmp_path: Path):
    output = tmp_path / "run"
    code = (
        "import sys, torch\ntorch.set_num_threads(1)\n"
        "from concord.analyses import facts\nfacts.PART_PROMPTS = 2\n"
        "from concord.cli import main\n"
        f"main(['compare', '--study', {str(study_file)!r}, '-o', {str(output)!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("rows/facts/base/part-*.parquet")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finished parts are kept" in printed
    assert "Traceback" not in printed
    assert list(output.glob("rows/facts/base/part-*.parquet"))


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cli, "out", Console(width=120))
    assert run("demo", "--limit", 16, "-o", tmp_path / "demo", "--quiet") == 0
    printed = capsys.readouterr().out
    assert "word-order" in printed
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "embedded" in page
    # As docs/embedded-family.md says of multiple choice.
    letters = query(
        open_run(tmp_path / "demo"),
        "select model, contexts, count(distinct letter) as letters from choices "
        "where not is_repeat group by model, contexts",
    )
    several = [
        (row["model"], row["contexts"])
        for row in letters.to_pylist()
        if row["letters"] > 1
    ]
    assert several == [("choices", "study")]
