import re
import subprocess
import sys
from pathlib import Path

import pytest

import concord

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_all_is_sorted_and_every_name_is_there():
    assert concord.__all__ == sorted(concord.__all__)
    for name in concord.__all__:
        assert getattr(concord, name).__module__.startswith("concord.")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'comparr'"):
        concord.comparr  # noqa: B018


def test_importing_the_package_is_instant():
    code = "import concord, sys; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_file_in_the_readmes_tree_exists():
    tree = README.split("```\nsrc/concord/\n")[1].split("```")[0]
    package = tree.split("tests/ ")[0]
    names = re.findall(r"\b\w+\.py\b", package)
    found = {path.name for path in (ROOT / "src" / "concord").rglob("*.py")}
    assert len(names) > 30
    assert set(names) <= found


def test_every_link_of_the_readme_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)", README)
    local = [link for link in links if not link.startswith("http")]
    assert local
    for link in local:
        assert (ROOT / link).is_file(), link


def test_every_concord_command_of_the_readme_is_known():
    from concord.cli import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    named = set(re.findall(r"(?:^|`)concord (\w+)", README, flags=re.MULTILINE))
    assert {"compare", "data", "validate", "report"} <= named
    assert named <= commands | groups


def test_the_readmes_sql_runs_on_a_run(tmp_path: Path, capsys, monkeypatch):
    from synthetic_run import write_synthetic_run

    write_synthetic_run(tmp_path / "concord-demo")
    monkeypatch.chdir(tmp_path)
    code = README.split("```python\n")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    assert "avg" in capsys.readouterr().out
