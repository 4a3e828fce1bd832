"""Addresses on the command line and in study files; secrets are refused unseen."""

from pathlib import Path

import pytest
from local_server import Reply, Request, completion, serving

from concord.cli import main
from concord.endpoints.address import address_of
from concord.errors import StudyError
from concord.study import ModelEntry, resolve_study, what_is_measured

SECRET = "sk-very-secret-0123456789"


def test_a_model_stands_behind_the_address():
    found = address_of(ModelEntry(source="http://localhost:8000/v1/#org/m", label="m"))
    assert (found.url, found.model) == ("http://localhost:8000/v1", "org/m")
    assert found.is_local
    far = address_of(ModelEntry(source="https://a.example/v1", model="q", label="q"))
    assert (far.url, far.model, far.is_local) == ("https://a.example/v1", "q", False)


def test_labels_come_from_the_models_id():
    study = resolve_study(
        {
            "base": "http://localhost:8000/v1#org/base",
            "tuned": [
                {"source": "http://localhost:8000/v1", "model": "org/tuned:1"},
                "http://localhost:8000/v1",
            ],
        }
    )
    labels = [entry.label for entry in study.models]
    assert labels == ["base", "tuned-1", "localhost-8000"]


@pytest.mark.parametrize(
    "entry",
    [
        {"source": f"http://me:{SECRET}@host/v1#m"},
        {"source": f"http://host/v1?key={SECRET}#m"},
        {"source": "http://host/v1#m", "key_variable": SECRET},
        {"source": "http://host/v1#m", "api_key": SECRET},
        {"source": f"http://me:{SECRET}@host/v1#m", "api": "chats"},
    ],
)
def test_a_secret_in_a_study_is_refused_and_not_repeated(entry: dict[str, str]):
    with pytest.raises(StudyError) as caught:
        resolve_study({"base": "embedded:base", "tuned": [entry]})
    assert SECRET not in str(caught.value)


def test_what_is_for_endpoints_alone_is_refused_elsewhere():
    with pytest.raises(StudyError, match="is no address"):
        resolve_study(
            {"base": "embedded:base", "tuned": [{"source": "x", "api": "chat"}]}
        )


def test_how_a_server_is_asked_is_not_what_is_measured():
    settings = {"base": "embedded:base", "tuned": ["http://host/v1#m"]}
    plain = resolve_study(settings).model_dump(mode="json")
    entry = {
        "source": "http://host/v1#m",
        "label": "m",
        "limits": {"concurrency": 1},
        "price": {"input": 1, "output": 1},
        "key_variable": "OTHER_KEY",
    }
    other = resolve_study(settings, {"tuned": [entry]}).model_dump(mode="json")
    assert plain != other
    assert what_is_measured(plain) == what_is_measured(other)
    asked = resolve_study(settings, {"tuned": [entry | {"answer_tokens": 99}]})
    assert what_is_measured(asked.model_dump(mode="json")) != what_is_measured(plain)


def test_an_expired_key_ends_the_command_with_one_line(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
    data_dir: object,
):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    refusal = Reply({"error": {"message": f"bad key {SECRET}"}}, status=401)
    with serving(lambda request: refusal) as server:
        arguments = ["compare", "embedded:base", f"{server.url}#m", "--analysis"]
        arguments += ["facts", "--data-dir", str(data_dir), "-o", f"{tmp_path}/run"]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
    assert caught.value.code == 2
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "the key in OPENAI_API_KEY is refused" in lines[0]
    assert "Traceback" not in err


SPOILT = {
    "two lines": f"{SECRET}\nSECOND-{SECRET}",
    "a blank": f"{SECRET} {SECRET}",
    "no ASCII": f"{SECRET}\N{LATIN SMALL LETTER E WITH ACUTE}",
    "a control character": f"{SECRET}\x07{SECRET}",
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT.keys())
def test_a_key_that_fits_no_header_is_refused_and_not_shown(
    spoilt: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data_dir: Path,
):
    monkeypatch.setenv("OPENAI_API_KEY", spoilt)
    with serving(lambda request: Reply(completion("Avon"))) as server:
        arguments = ["compare", "embedded:base", f"{server.url}#m", "--analysis"]
        arguments += ["facts", "--data-dir", str(data_dir), "-o", f"{tmp_path}/run"]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert not server.requests
    assert caught.value.code == 2
    out, err = capfd.readouterr()
    assert "very-secret" not in out + err
    assert "error: m: the key in OPENAI_API_KEY holds white space" in err
    assert "Traceback" not in err


def test_a_key_that_a_server_repeats_is_in_no_output_and_no_file(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data_dir: Path,
):
    """The place at which its words are cut lies inside the key."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    def answer(request: Request) -> Reply:
        if request.path == "/v1/models":
            return Reply({"data": [{"id": "m", "owned_by": SECRET}]})
        if "logprobs" in request.body:
            said = {"error": {"message": f"{'x' * 285} {SECRET}"}}
            return Reply(said, status=400)
        return Reply(completion("Avon", system_fingerprint=SECRET))

    with serving(answer) as server:
        arguments = ["compare", "embedded:base", f"{server.url}#m", "--analysis"]
        arguments += ["facts", "--limit", "1", "-o", f"{tmp_path}/run"]
        arguments += ["--set", "facts.noise_prompts=0"]
        arguments += ["--set", "statistics.replicates=100"]
        arguments += ["--set", "statistics.permutations=100"]
        arguments += ["--data-dir", str(data_dir)]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
    assert caught.value.code in (0, None)
    out, err = capfd.readouterr()
    assert "sk-very" not in out + err
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any(
        path.name == "run.json" and b"***" in path.read_bytes() for path in files
    )
    assert not [path for path in files if b"sk-very" in path.read_bytes()]


def test_a_served_model_is_compared_from_the_command_line(
    capfd: pytest.CaptureFixture[str], tmp_path: object, data_dir: object
):
    def answer(request: object) -> Reply:
        path = getattr(request, "path", "")
        if path != "/v1/completions":
            return Reply({"detail": "Not Found"}, status=404)
        return Reply(completion("Avon"))

    with serving(answer) as server:
        arguments = ["compare", f"{server.url}#one", f"{server.url}#two", "--analysis"]
        arguments += ["facts", "--data-dir", str(data_dir), "-o", f"{tmp_path}/run"]
        arguments += ["--set", "statistics.replicates=100"]
        arguments += ["--set", "statistics.permutations=100"]
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code in (0, None)
        with pytest.raises(SystemExit) as shown:
            main(["flips", f"{tmp_path}/run"])
        assert shown.value.code in (0, None)
    out = " ".join(capfd.readouterr().out.split())
    assert "text only: the answer is the candidate that the text names" in out
    assert "not seen" in out
