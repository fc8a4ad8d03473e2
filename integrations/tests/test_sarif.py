"""What `koncli check -o sarif` prints, judged by the validator of the format's makers: by the schema, the rules of SARIF, and
those of GitHub's code scanning."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VALIDATOR = ROOT / "target/sarif/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool"


def complaints(folder: Path, log: dict) -> list[str]:
    """What the validator finds in a log."""
    file, found = folder / "checked.sarif", folder / "found.sarif"
    file.write_text(json.dumps(log))
    arguments = ["validate", file, "--rule-kind", "Sarif;Ghas", "--output", found, "--log", "ForceOverwrite"]
    # It would need a library for languages.
    environment = os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    ended = subprocess.run([VALIDATOR, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert "Analysis completed" in ended.stdout, ended
    results = json.loads(found.read_text(encoding="utf-8-sig"))["runs"][0]["results"]
    return [f"{one['ruleId']} {one['message'].get('arguments')}" for one in results if one.get("level") != "note"]


@pytest.mark.skipif(not VALIDATOR.exists(), reason="npm could not install the SARIF validator")
def test_every_diagnostic_is_sarif_that_code_scanning_takes(tmp_path: Path) -> None:
    VALIDATOR.chmod(0o755)
    files = sorted(ROOT.glob("compiler/tests/fixtures/*.kon")) + sorted(ROOT.glob("dsl/tests/fixtures/*.kon"))
    assert files
    names = [str(file.relative_to(ROOT)) for file in files]
    arguments = [os.environ["KONCLI"], "check", "-o", "sarif", *names]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert printed.returncode == 2, printed
    log = json.loads(printed.stdout)
    results = log["runs"][0]["results"]
    assert len(results) > 100
    assert any(result.get("fixes") for result in results)
    assert complaints(tmp_path, log) == []
    # The validator does find what is wrong: first by GitHub's rules, then by the schema.
    log["runs"][0]["tool"]["driver"]["rules"][0].pop("fullDescription")
    assert [one.split()[0] for one in complaints(tmp_path, log)] == ["GH2012"]
    log["runs"][0]["results"][0].pop("message")
    assert [one.split()[0] for one in complaints(tmp_path, log)] == ["JSON1002"]
