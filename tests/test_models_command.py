"""``concord models recover`` and ``inspect`` as a user types them."""

from pathlib import Path

import pytest
from published_diff import ROWS, difference, llama, tuned_of, write_base, write_diff

from concord.cli import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


def test_recover_tells_the_checksum_and_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    network = llama(ROWS, 0)
    tuned = tuned_of(network)
    base = write_base(tmp_path / "base", network, form="sharded bin")
    tensors = difference(network, tuned)
    diff = write_diff(tmp_path / "diff", tensors, form="sharded bin")
    out = tmp_path / "out"
    assert run("models", "recover", base, diff, out, "--shard-size", 0.001) == 0
    printed = capsys.readouterr().out
    total = sum(float(p.detach().double().sum()) for p in tuned.parameters())
    assert f"checksum (sum of all numbers) {total:.4f}" in printed
    assert "one row for a padding token" in printed
    assert printed.strip().endswith(f"Tuned model: {out}")
    assert (out / "model.safetensors.index.json").is_file()


def test_inspect_tells_the_parts_and_loads_no_weight(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def never(*arguments: object, **named: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", never)
    assert run("models", "inspect", "embedded:questions") == 0
    printed = capsys.readouterr().out
    told = dict(line.split(":", 1) for line in printed.splitlines())
    assert list(told)[:3] == ["weights", "adapter", "family"]
    assert told["parameters"].strip() == "1,394,304, and 104,448 of the adapter"
    assert told["layers"].strip() == "6"
    (tmp_path / "someone-s-secret").mkdir()
    (tmp_path / "such-a-folder").mkdir()
    assert run("models", "inspect", tmp_path / "no-such-folder") == 2
    told = capsys.readouterr().err
    assert "no such folder; did you mean 'such-a-folder'?" in told
    assert "secret" not in told


def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("models", "recover", tmp_path, tmp_path / "no", tmp_path / "out") == 2
    assert run("models", "recover", "a", "b", "c", "--dtype", "float8") == 2
    errors = capsys.readouterr().err
    assert "no such folder" in errors
    assert "did you mean 'float" in errors
    assert "Traceback" not in errors


def test_a_base_without_a_config_is_a_user_s_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("base", "diff"):
        (tmp_path / name).mkdir()
    code = run(
        "models", "recover", tmp_path / "base", tmp_path / "diff", tmp_path / "out"
    )
    assert code == 2
    assert "config" in capsys.readouterr().err


def test_one_model_and_a_preset_with_tuned_ones_are_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code = run("compare", tmp_path / "llama-7b", "--preset", "fierro2024")
    assert code == 2
    assert "llama-7b: no such folder" in capsys.readouterr().err
