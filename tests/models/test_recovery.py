import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from published_diff import (
    ROWS,
    difference,
    llama,
    tuned_of,
    write_base,
    write_diff,
    write_weights,
)
from safetensors.torch import load_file, save_file
from small_study import write_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from concord.errors import ModelError, ResultsError
from concord.models import recovery
from concord.models.load import load_model
from concord.models.recovery import recover
from concord.study import resolve_study

FORMS = ("safetensors", "sharded safetensors", "bin", "sharded bin")


@pytest.fixture(scope="module")
def base_network() -> LlamaForCausalLM:
    return llama(ROWS, 0)


@pytest.fixture(scope="module")
def tuned_network(base_network: LlamaForCausalLM) -> LlamaForCausalLM:
    return tuned_of(base_network)


@pytest.fixture
def base(base_network: LlamaForCausalLM, tmp_path: Path) -> Path:
    return write_base(tmp_path / "base", base_network, form="sharded bin")


@pytest.fixture
def diff(
    base_network: LlamaForCausalLM, tuned_network: LlamaForCausalLM, tmp_path: Path
) -> Path:
    tensors = difference(base_network, tuned_network)
    return write_diff(tmp_path / "diff", tensors, form="sharded safetensors")


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_base_plus_diff_is_the_tuned_model_in_every_form(
    base_network: LlamaForCausalLM,
    tuned_network: LlamaForCausalLM,
    tmp_path: Path,
    form: str,
):
    base = write_base(tmp_path / "base", base_network, form=form)
    tensors = difference(base_network, tuned_network)
    diff = write_diff(tmp_path / "diff", tensors, form=form)
    found = recover(str(base), str(diff), tmp_path / "out", shard_bytes=600_000)
    recovered = tensors_in(tmp_path / "out")
    for name, wanted in tuned_network.named_parameters():
        torch.testing.assert_close(recovered[name], wanted.detach(), atol=1e-7, rtol=0)
    total = sum(float(p.detach().double().sum()) for p in tuned_network.parameters())
    assert found.checksum == pytest.approx(total, abs=1e-4)
    assert found.tensors == len(recovered) == 21
    assert found.has_padding_row
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1


def test_what_is_recovered_loads_as_a_model_with_its_padding_token(
    tuned_network: LlamaForCausalLM, base: Path, diff: Path, tmp_path: Path
):
    recover(str(base), str(diff), tmp_path / "out", shard_bytes=600_000)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded.config.vocab_size == ROWS + 1
    assert tokenizer.pad_token == "[PAD]"
    ids = torch.tensor([[1, 5, 31_999]])
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(ids).logits, tuned_network(ids).logits, atol=1e-5, rtol=0
        )


def test_a_name_with_diff_gives_the_weights_that_recovery_saves(
    base: Path, diff: Path, tmp_path: Path
):
    recover(str(base), str(diff), tmp_path / "out")
    study = resolve_study(
        {
            "base": str(base),
            "tuned": [f"{base}+diff:{diff}", str(tmp_path / "out")],
            "allow_pickle": True,
        }
    )
    named, saved = (load_model(study, entry) for entry in study.tuned)
    assert named.info["fingerprint"] == saved.info["fingerprint"]
    assert named.vocabulary_size == ROWS + 1


def test_weights_can_be_saved_in_half_the_size(base: Path, diff: Path, tmp_path: Path):
    recover(str(base), str(diff), tmp_path / "whole")
    recover(str(base), str(diff), tmp_path / "half", dtype="bfloat16")
    whole, half = tensors_in(tmp_path / "whole"), tensors_in(tmp_path / "half")
    for name, value in whole.items():
        assert torch.equal(value.to(torch.bfloat16), half[name])


def test_buffers_of_old_files_are_skipped_and_named(
    base_network: LlamaForCausalLM,
    tuned_network: LlamaForCausalLM,
    tmp_path: Path,
):
    base = write_base(tmp_path / "base", base_network, form="bin")
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    own = {n: p.detach() for n, p in base_network.named_parameters()}
    write_weights(base, own | {name: torch.ones(2)}, form="bin")
    tensors = difference(base_network, tuned_network) | {name: torch.zeros(2)}
    diff = write_diff(tmp_path / "diff", tensors, form="bin")
    found = recover(str(base), str(diff), tmp_path / "out")
    assert found.skipped == (name,)
    assert name not in tensors_in(tmp_path / "out")


@pytest.mark.parametrize("off", [0.0, 3.0])
def test_the_sum_its_authors_give_is_compared(
    tuned_network: LlamaForCausalLM, base: Path, diff: Path, tmp_path: Path, off: float
):
    total = sum(float(p.detach().sum()) for p in tuned_network.parameters())
    (diff / "checksum_psum.txt").write_text(str(total + off))
    if off:
        with pytest.raises(ModelError, match="made from another base"):
            recover(str(base), str(diff), tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        found = recover(str(base), str(diff), tmp_path / "out")
        assert found.checked_by_authors


def test_the_rounding_of_the_authors_sum_is_allowed_for(tmp_path: Path):
    """A float32 running sum of 50,000 is off by more than .01 after many tensors."""
    network = llama(ROWS, 0)
    with torch.no_grad():
        network.model.norm.weight.fill_(50_000 / 8)
    base = write_base(tmp_path / "base", network, form="bin")
    tuned = tuned_of(network)
    diff = write_diff(tmp_path / "diff", difference(network, tuned), form="bin")
    total = sum(float(p.detach().double().sum()) for p in tuned.parameters())
    (diff / "checksum_psum.txt").write_text(str(total + 0.04))
    assert recover(str(base), str(diff), tmp_path / "out").checked_by_authors
    (diff / "checksum_psum.txt").write_text(str(total + 0.2))
    with pytest.raises(ModelError, match="made from another base"):
        recover(str(base), str(diff), tmp_path / "again")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_named_by_tensor_and_file(
    base_network: LlamaForCausalLM,
    tuned_network: LlamaForCausalLM,
    base: Path,
    tmp_path: Path,
    number: float,
):
    tensors = difference(base_network, tuned_network)
    tensors["model.norm.weight"][0] = number
    diff = write_diff(tmp_path / "diff", tensors, form="bin")
    message = r"pytorch_model\.bin: base \+ difference of 'model\.norm\.weight'"
    with pytest.raises(ModelError, match=message):
        recover(str(base), str(diff), tmp_path / "out")


@pytest.mark.parametrize("what", ["AutoConfig", "AutoTokenizer"])
def test_code_that_comes_with_a_model_is_not_run(
    base: Path, diff: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    marker = tmp_path / "ran"
    (base / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    own = "config.json" if what == "AutoConfig" else "tokenizer_config.json"
    entry = "evil.Evil" if what == "AutoConfig" else ["evil.Evil", "evil.Evil"]
    content = json.loads((base / own).read_text())
    content |= {"auto_map": {what: entry}, "tokenizer_class": "Evil"}
    if what == "AutoConfig":
        content["model_type"] = "evil"
    (base / own).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="cannot load its"):
        recover(str(base), str(diff), tmp_path / "out")
    assert not marker.exists()


def test_a_recovery_that_could_not_be_named_is_continued(
    base: Path, diff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise ResultsError("cannot name it so")

    with monkeypatch.context() as during:
        during.setattr(recovery, "_rename", fail)
        with pytest.raises(ResultsError, match="cannot name"):
            recover(str(base), str(diff), tmp_path / "out")
    found = recover(str(base), str(diff), tmp_path / "out")
    assert found.tensors == 21
    assert not (tmp_path / "out.unfinished").exists()


def test_an_unfinished_recovery_of_another_pair_is_not_removed(
    base: Path, diff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recovery, "_rename", lambda *_: None)
    recover(str(base), str(diff), tmp_path / "out")
    before = sorted(p.name for p in (tmp_path / "out.unfinished").iterdir())
    monkeypatch.undo()
    with pytest.raises(ResultsError, match="an unfinished recovery of other files"):
        recover(str(base), str(diff), tmp_path / "out", dtype="bfloat16")
    assert sorted(p.name for p in (tmp_path / "out.unfinished").iterdir()) == before
    (tmp_path / "out.unfinished" / "recovery.json").write_text('{"x": 1}')
    with pytest.raises(ResultsError, match="no record of a recovery"):
        recover(str(base), str(diff), tmp_path / "out")


def test_another_base_of_the_same_shape_is_known_by_the_hash(
    base: Path, diff: Path, tmp_path: Path
):
    (diff / "diff.json").write_text(json.dumps({"sum_sha256": "0" * 64}))
    with pytest.raises(ModelError, match="another base, or a file is damaged"):
        recover(str(base), str(diff), tmp_path / "out")


def test_a_base_of_another_shape_is_refused(diff: Path, tmp_path: Path):
    other = write_base(tmp_path / "other", llama(ROWS, 0, width=16), form="bin")
    with pytest.raises(ModelError, match=r"has shape \(.*; give the base it was"):
        recover(str(other), str(diff), tmp_path / "out")


def test_more_than_one_row_more_is_another_base(diff: Path, tmp_path: Path):
    other = write_base(tmp_path / "other", llama(ROWS - 5, 0), form="bin")
    with pytest.raises(ModelError, match="32001"):
        recover(str(other), str(diff), tmp_path / "out")


def test_whole_weights_are_no_difference_unless_one_says_so(
    tuned_network: LlamaForCausalLM, base: Path, tmp_path: Path
):
    whole = {n: p.detach() for n, p in tuned_network.named_parameters()}
    diff = write_diff(tmp_path / "whole", whole, form="bin")
    with pytest.raises(ModelError, match="look like whole weights"):
        recover(str(base), str(diff), tmp_path / "out")
    found = recover(str(base), str(diff), tmp_path / "out", allow_large=True)
    assert found.relative_norm > 0.5


@pytest.mark.parametrize("side", ["base", "diff"])
@pytest.mark.parametrize("has_index", [True, False])
def test_a_missing_shard_is_named(
    base: Path, diff: Path, tmp_path: Path, side: str, has_index: bool
):
    folder = {"base": base, "diff": diff}[side]
    lost = next(folder.glob("*-00002-of-00003.*"))
    lost.unlink()
    if not has_index:
        next(folder.glob("*.index.json")).unlink()
    with pytest.raises(ModelError, match=f"{lost.name}: missing"):
        recover(str(base), str(diff), tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == [base, diff]


@pytest.mark.parametrize("side", ["base", "diff"])
def test_a_cut_shard_is_named(base: Path, diff: Path, tmp_path: Path, side: str):
    file = next({"base": base, "diff": diff}[side].glob("*-00002-of-00003.*"))
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(ModelError, match=file.name):
        recover(str(base), str(diff), tmp_path / "out")


@pytest.mark.parametrize("family", ["t5", "falcon", "gpt2", "gemma", "gpt_neox"])
def test_other_families_and_tied_weights_are_recovered(tmp_path: Path, family: str):
    base = write_model(tmp_path / "base", family=family)
    tuned = Path(shutil.copytree(base, tmp_path / "tuned"))
    before = load_file(base / "model.safetensors")
    after = {n: v + 0.01 * torch.randn_like(v) for n, v in before.items()}
    save_file(after, tuned / "model.safetensors", metadata={"format": "pt"})
    diff = tmp_path / "diff"
    diff.mkdir()
    torch.save({n: after[n] - before[n] for n in after}, diff / "pytorch_model.bin")
    recover(str(base), str(diff), tmp_path / "out")
    study = resolve_study({"base": str(tuned), "tuned": [str(tmp_path / "out")]})
    wanted, found = (
        dict(load_model(study, entry).network.named_parameters())
        for entry in study.models
    )
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


class _Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_of_weights_is_not_run(base: Path, diff: Path, tmp_path: Path):
    file = next(base.glob("*-00001-of-00003.bin"))
    torch.save({"weight": torch.ones(2), "more": _Touches(tmp_path / "ran")}, file)
    with pytest.raises(ModelError, match="something besides tensors"):
        recover(str(base), str(diff), tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_a_stopped_recovery_is_continued_and_never_looks_whole(
    base: Path, diff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recover(str(base), str(diff), tmp_path / "unbroken", shard_bytes=600_000)
    written: list[str] = []
    original = recovery.write_shard

    def stops_at_the_third(path: Path, *rest: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        original(path, *rest)  # pyright: ignore
        written.append(path.name)

    output = tmp_path / "out"
    monkeypatch.setattr(recovery, "write_shard", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        recover(str(base), str(diff), output, shard_bytes=600_000)
    assert not output.exists()
    assert not (tmp_path / "out.unfinished" / "config.json").exists()
    monkeypatch.setattr(recovery, "write_shard", original)
    kept = tmp_path / "out.unfinished" / written[0]
    time = kept.stat().st_mtime_ns
    found = recover(str(base), str(diff), output, shard_bytes=600_000)
    assert (output / written[0]).stat().st_mtime_ns == time
    assert not (tmp_path / "out.unfinished").exists()
    for file in (tmp_path / "unbroken").glob("*.safetensors"):
        assert file.read_bytes() == (output / file.name).read_bytes()
    record = json.loads((tmp_path / "unbroken" / "recovery.json").read_text())
    assert found.checksum == pytest.approx(record["checksum"], abs=1e-9)


def spoil(file: Path, *, how: str) -> None:
    """Remove a file of weights, cut it off, or give its first tensor another name."""
    if how == "removed":
        file.unlink()
        return
    content = file.read_bytes()
    renamed = content.replace(b".weight", b".veight", 1)
    file.write_bytes(content[:-4] if how == "cut off" else renamed)


@pytest.mark.parametrize("how", ["removed", "cut off", "renamed"])
def test_a_finished_shard_that_is_no_longer_whole_is_written_again(
    base: Path,
    diff: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
):
    output = tmp_path / "out"
    recover(str(base), str(diff), tmp_path / "unbroken", shard_bytes=600_000)
    with monkeypatch.context() as during:
        during.setattr(recovery, "_rename", lambda *_: None)
        recover(str(base), str(diff), output, shard_bytes=600_000)
    first = min((tmp_path / "out.unfinished").glob("*.safetensors"))
    spoil(first, how=how)
    recover(str(base), str(diff), output, shard_bytes=600_000)
    whole = sorted((tmp_path / "unbroken").glob("*.safetensors"))
    assert [f.name for f in whole] == sorted(
        f.name for f in output.glob("*.safetensors")
    )
    assert all(f.read_bytes() == (output / f.name).read_bytes() for f in whole)


def test_only_what_was_planned_gets_the_name_of_a_whole_model(
    base: Path, diff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    unfinished = tmp_path / "out.unfinished"
    written = recovery.write_shard

    def loses_one(path: Path, *rest: object) -> None:
        written(path, *rest)  # pyright: ignore
        if path.name.startswith("model-00002"):
            (unfinished / "model-00001-of-00003.safetensors").unlink()

    with monkeypatch.context() as during:
        during.setattr(recovery, "write_shard", loses_one)
        with pytest.raises(ResultsError, match=r"model-00001.*missing"):
            recover(str(base), str(diff), tmp_path / "out", shard_bytes=600_000)
    shutil.copy(
        unfinished / "model-00002-of-00003.safetensors", unfinished / "a.safetensors"
    )
    with pytest.raises(ResultsError, match=r"a\.safetensors.*no recovery has written"):
        recover(str(base), str(diff), tmp_path / "out", shard_bytes=600_000)
    assert not (tmp_path / "out").exists()
    (unfinished / "a.safetensors").unlink()
    recover(str(base), str(diff), tmp_path / "out", shard_bytes=600_000)


def test_a_folder_with_something_in_it_is_not_written_to(
    base: Path, diff: Path, tmp_path: Path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ResultsError, match="something there already"):
        recover(str(base), str(diff), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_names_without_the_prefix_of_the_body_are_found(
    base_network: LlamaForCausalLM, diff: Path, tmp_path: Path
):
    base = write_base(tmp_path / "base2", base_network, form="safetensors")
    own = {
        n.removeprefix("model."): p.detach() for n, p in base_network.named_parameters()
    }
    write_weights(base, own, form="safetensors")
    recover(str(base), str(diff), tmp_path / "out")
    assert "model.norm.weight" in tensors_in(tmp_path / "out")


_PEAK = """
import sys, threading, time
from pathlib import Path
from concord.models.recovery import recover

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("RssAnon"))

recover(*sys.argv[1:3], Path(sys.argv[3] + ".first"), shard_bytes=20_000_000)
before, peak, done = anonymous(), [0], threading.Event()
def watch():
    while not done.is_set():
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
recover(sys.argv[1], sys.argv[2], Path(sys.argv[3]), shard_bytes=20_000_000)
done.set()
watcher.join()
print(peak[0] - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads /proc")
@pytest.mark.slow
def test_memory_holds_less_than_two_tensors_and_a_shard(tmp_path: Path):
    network = llama(ROWS, 0, width=256, inner=16_384)
    tuned = tuned_of(network)
    base = write_base(tmp_path / "base", network, form="sharded bin")
    tensors = difference(network, tuned)
    diff = write_diff(tmp_path / "diff", tensors, form="sharded bin")
    tuned.config.save_pretrained(diff)
    shard, largest = 20_000_000, (ROWS + 1) * 256 * 4
    whole = sum(p.numel() for p in tuned.parameters()) * 4
    arguments = [sys.executable, "-c", _PEAK, base, diff, tmp_path / "out"]
    # The C library would keep freed blocks; below this size it may.
    gives_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=gives_back)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout)
    assert largest / 2 < peak < shard + 2 * largest < whole
