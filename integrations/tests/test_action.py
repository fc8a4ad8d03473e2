"""The steps of the GitHub Action, run as a runner would: expressions are evaluated, and each script gets its
environment. Only the upload is another action, and is not run."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "github-action"
ACTION = yaml.safe_load((FOLDER / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
GOOD = 'pipeline p {\n  stage s { image = "a:1", run = "true" }\n}\n'
BAD = 'pipeline p {\n  stage s after x { image = "a:1", run = "true" }\n}\n'


@dataclass
class Result:
    """How a job with the action has ended."""

    code: int
    output: str
    outputs: dict[str, str]
    path: list[str]
    ran: list[str]


def value(expression: str, scope: dict[str, str]) -> str:
    """What a `${{ … }}` without operators is."""
    assert expression in scope, f"the test does not know {expression}"
    return scope[expression]


def is_wanted(condition: str | None, scope: dict[str, str]) -> bool:
    """Whether a step runs after steps that have succeeded."""
    terms = (condition or "always()").split(" && ")
    for term in terms:
        if term == "always()":
            continue
        name, operator, text = term.split(" ")
        if (value(name, scope) == text.strip("'")) != (operator == "=="):
            return False
    return True


def play(folder: Path, inputs: dict[str, str], environment: dict[str, str] | None = None) -> Result:
    """Runs the action's own steps in a folder, until one fails."""
    assert set(inputs) <= set(ACTION["inputs"])
    temporary = folder.parent / "runner"
    temporary.mkdir()
    scope = {f"inputs.{name}": inputs.get(name, spec["default"]) for name, spec in ACTION["inputs"].items()}
    scope["github.action_path"] = str(FOLDER)
    scope["steps.check.outputs.sarif"] = ""
    outputs, path = temporary / "output", temporary / "path"
    outputs.touch()
    path.touch()
    result = Result(0, "", {}, [], [])
    for step in STEPS:
        if not is_wanted(step.get("if"), scope):
            continue
        result.ran.append(step["name"])
        if "uses" in step:
            continue
        env = {
            "PATH": os.pathsep.join([*reversed(result.path), os.environ["PATH"]]),
            "GITHUB_OUTPUT": str(outputs),
            "GITHUB_PATH": str(path),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(temporary),
        }
        env |= environment or {}
        for name, text in step["env"].items():
            env[name] = re.sub(r"\$\{\{ (.*?) \}\}", lambda found: value(found[1], scope), text)
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        result.output += done.stdout + done.stderr
        result.path = path.read_text().splitlines()
        result.outputs = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        scope |= {f"steps.check.outputs.{name}": text for name, text in result.outputs.items()}
        if done.returncode:
            result.code = done.returncode
            break
    return result


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A checkout with a good pipeline."""
    folder = tmp_path / "work"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/good.kon").write_text(GOOD)
    return folder


@pytest.fixture
def with_koncli() -> dict[str, str]:
    """An earlier step has installed koncli."""
    return {"PATH": f"{Path(os.environ['KONCLI']).parent}{os.pathsep}{os.environ['PATH']}"}


def test_no_input_becomes_part_of_a_script() -> None:
    """Whoever chooses a file name or an input must not choose a command."""
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 2
    assert not any("${{" in script for script in scripts)


def test_other_actions_are_pinned_by_commit() -> None:
    """A tag can be moved."""
    others = [step["uses"] for step in STEPS if "uses" in step]
    assert others and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", other) for other in others)


def test_every_input_is_used() -> None:
    """A misspelt input would be empty, without a word."""
    text = (FOLDER / "action.yml").read_text()
    used = set(re.findall(r"inputs\.([a-z]+)", text))
    assert used == set(ACTION["inputs"])


def test_good_files_pass(work: Path, with_koncli: dict[str, str]) -> None:
    """The default finds files in folders of folders."""
    result = play(work, {}, with_koncli)
    assert (result.code, result.output) == (0, "")
    assert result.ran == ["Check"]


def test_a_mistake_becomes_an_annotation_and_fails_the_job(work: Path, with_koncli: dict[str, str]) -> None:
    """The path is from the root of the checkout, as GitHub wants it."""
    (work / "deep/a b.kon").write_text(BAD)
    result = play(work, {}, with_koncli)
    assert result.code == 2, result.output
    assert "::error file=deep/a b.kon,line=2,endLine=2,col=17,endColumn=18,title=K0201::" in result.output
    assert result.outputs == {}


def test_sarif_is_written_although_a_file_has_an_error(work: Path, with_koncli: dict[str, str]) -> None:
    """The upload comes afterwards, in any case."""
    (work / "bad.kon").write_text(BAD)
    result = play(work, {"sarif": "k.sarif", "upload": "true"}, with_koncli)
    assert result.code == 2, result.output
    assert result.outputs == {"sarif": "k.sarif"}
    log = json.loads((work / "k.sarif").read_text())
    assert log["version"] == "2.1.0"
    assert [found["ruleId"] for found in log["runs"][0]["results"]] == ["K0201"]
    upload = STEPS[-1]
    assert upload["if"].startswith("always()")
    assert is_wanted(upload["if"], {"inputs.upload": "true", "steps.check.outputs.sarif": "k.sarif"})


def test_arguments_are_one_on_a_line(work: Path, with_koncli: dict[str, str]) -> None:
    """A value with a blank stays one argument."""
    (work / "p.kon").write_text(
        'pipeline p {\n  param name: "a b" | "c"\n  stage s { image = "a:1", run = "echo ${name}" }\n}\n'
    )
    result = play(work, {"files": "p.kon", "arguments": "--set\nname=a b\n"}, with_koncli)
    assert result.code == 0, result.output
    shutil.rmtree(work.parent / "runner")
    result = play(work, {"files": "p.kon", "arguments": "--set\nname=d"}, with_koncli)
    assert result.code == 2, result.output


@pytest.mark.parametrize("name", ["$(touch hacked).kon", "`touch hacked`.kon", "a;touch hacked;.kon", "--fix.kon"])
def test_no_file_name_is_taken_for_a_command(name: str, work: Path, with_koncli: dict[str, str]) -> None:
    """Pull requests choose names."""
    (work / name).write_text(BAD)
    result = play(work, {}, with_koncli)
    assert result.code == 2, result.output
    assert "K0201" in result.output
    assert not (work / "hacked").exists()


def test_no_input_is_taken_for_a_command(work: Path, with_koncli: dict[str, str]) -> None:
    """Inputs may come from elsewhere too."""
    for name in ["files", "arguments", "version"]:
        play(work, {name: "x; $(touch hacked) `touch hacked`"}, with_koncli)
        shutil.rmtree(work.parent / "runner")
    assert not (work / "hacked").exists()


def test_a_pattern_that_matches_nothing_fails(work: Path, with_koncli: dict[str, str]) -> None:
    """A check of no file would look like a check that has passed."""
    result = play(work, {"files": "nothing/*.kon"}, with_koncli)
    assert result.code == 2
    assert result.output == "::error title=konductor::no file matches nothing/*.kon\n"


def test_without_koncli_it_says_what_to_do(work: Path) -> None:
    """The runner's own programs are found, koncli is not."""
    result = play(work, {}, {"PATH": "/usr/bin:/bin"})
    assert result.code == 2
    assert "koncli is not installed; name a `version`" in result.output


def release(folder: Path, version: str) -> Path:
    """A folder as the pages of a release have it."""
    name = f"koncli-{version}-{os.uname().machine}-linux"
    pages = folder / f"v{version}"
    pages.mkdir(parents=True)
    archive = pages / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        script = folder / "koncli"
        script.write_text(f'#!/bin/sh\nexec "{os.environ["KONCLI"]}" "$@"\n')
        script.chmod(0o755)
        tar.add(script, f"{name}/koncli")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (pages / "SHA256SUMS").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  {archive.name}\n")
    return archive


def test_a_version_is_installed_and_used(work: Path, tmp_path: Path) -> None:
    """From the pages of a release, here in a folder."""
    release(tmp_path / "pages", "1.2.3")
    result = play(work, {"version": "v1.2.3"}, {"KONDUCTOR_RELEASES": (tmp_path / "pages").as_uri()})
    assert result.code == 0, result.output
    assert result.ran == ["Install koncli", "Check"]


def test_an_archive_with_another_checksum_is_not_installed(work: Path, tmp_path: Path) -> None:
    """Nothing of it is unpacked."""
    archive = release(tmp_path / "pages", "1.2.3")
    archive.write_bytes(archive.read_bytes() + b"x")
    result = play(work, {"version": "1.2.3"}, {"KONDUCTOR_RELEASES": (tmp_path / "pages").as_uri()})
    assert result.code != 0
    assert result.path == [] and "did NOT match" in result.output
    assert not list((tmp_path / "runner").glob("*/koncli"))
