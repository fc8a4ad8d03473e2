"""The hooks of .pre-commit-hooks.yaml, run by pre-commit itself in a repository of their user."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROKEN = 'pipeline p {\n  stage s { image = "a:1", run = "true" }\n  stage t after x { image = "a:1", run = "true" }\n}\n'
FIXABLE = 'pipeline p {\n  stage build { image = "a:1", run = "true" }\n  stage t after biuld { image = "a:1", run = "true" }\n}\n'
FIXED = FIXABLE.replace("biuld", "build")


def git(folder: Path, *arguments: str) -> str:
    """Runs git, which must succeed."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this checkout's hooks, and nothing else that pre-commit would have to copy."""
    folder = tmp_path_factory.mktemp("hooks")
    git(folder, "init", "--quiet")
    (folder / ".pre-commit-hooks.yaml").write_text((ROOT / ".pre-commit-hooks.yaml").read_text())
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "hooks")
    return folder


def run(folder: Path, hooks: Path, hook: str, files: dict[str, str]) -> tuple[int, str]:
    """Runs one hook over new files, as `git commit` would."""
    folder.mkdir(exist_ok=True)
    git(folder, "init", "--quiet")
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    rev = git(hooks, "rev-parse", "HEAD")
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks}\n    rev: {rev}\n    hooks: [{{id: {hook}}}]\n"
    )
    git(folder, "add", ".")
    koncli = Path(os.environ["KONCLI"]).parent
    environment = os.environ | {
        "PATH": f"{koncli}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(folder.parent / "cache"),
    }
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files", "--color", "never"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_check_lets_a_good_file_pass(tmp_path: Path, hooks: Path) -> None:
    """A file without a mistake, and a name with a blank."""
    code, output = run(tmp_path / "it", hooks, "konductor-check", {"a.kon": FIXED, "a folder/b.kon": FIXED})
    assert code == 0, output
    assert "Passed" in output


def test_check_stops_a_commit_with_a_mistake(tmp_path: Path, hooks: Path) -> None:
    """The diagnostic is printed with its file and line; other files are not looked at."""
    code, output = run(tmp_path / "it", hooks, "konductor-check", {"a.kon": BROKEN, "b.txt": BROKEN})
    assert code == 1, output
    assert "K0201" in output and "a.kon:3:" in output
    assert "b.txt" not in output


def test_fix_changes_what_is_certain_and_stops_the_commit_once(tmp_path: Path, hooks: Path) -> None:
    """pre-commit fails because a file has changed; the second run passes."""
    folder = tmp_path / "it"
    code, output = run(folder, hooks, "konductor-fix", {"a.kon": FIXABLE})
    assert code == 1, output
    assert "files were modified by this hook" in output
    assert (folder / "a.kon").read_text() == FIXED
    code, output = run(folder, hooks, "konductor-fix", {})
    assert code == 0, output


def test_format_changes_a_file_that_is_not_formatted(tmp_path: Path, hooks: Path) -> None:
    """As with every formatter, the commit is stopped and passes the next time."""
    folder = tmp_path / "it"
    code, output = run(folder, hooks, "konductor-format", {"a.kon": FIXED.replace("  stage", "      stage")})
    assert code == 1, output
    assert (folder / "a.kon").read_text() == FIXED
    code, output = run(folder, hooks, "konductor-format", {})
    assert code == 0, output
