"""The mutants of the scripts are other scripts than the scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab.equivalent import EQUIVALENT
from tests.lab.mutants import ROOT, is_killed, mutants_of

SCRIPT = Path("aioredis_patterns/locks/lua/lock_release.lua")


def test_each_mutant_differs_in_one_line(tmp_path: Path) -> None:
    """A mutant is its script but for one line of code."""
    shutil.copytree(ROOT / SCRIPT.parent, tmp_path / SCRIPT.parent)
    original = (ROOT / SCRIPT).read_text().splitlines()
    mutants = list(mutants_of(SCRIPT))
    assert len(mutants) >= 3
    for mutant in mutants:
        kept = mutant.put_into(tmp_path)
        mutated = (tmp_path / SCRIPT).read_text().splitlines()
        assert [one for one, other in zip(original, mutated, strict=True) if one != other] == [
            original[mutant.number - 1]
        ]
        (tmp_path / SCRIPT).write_text(kept)


def test_a_mutant_is_killed_by_a_test_that_fails(tmp_path: Path) -> None:
    """What its room's tests find is killed, and what they do not look at survives; the script is then as before."""
    (tmp_path / SCRIPT.parent).mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    for word, killed in ((str(len((ROOT / SCRIPT).read_text())), True), ("0", False)):
        (tmp_path / "tests" / word).mkdir(parents=True)
        check = f"from pathlib import Path\ndef test_it():\n    assert Path('{SCRIPT}').stat().st_size in ({word}, "
        check += "0)" if killed else "*range(99999))"
        (tmp_path / "tests" / word / "test_size.py").write_text(check)
        longer = next(one for one in mutants_of(SCRIPT) if len(one.line) != len(_line(one.number)))
        assert is_killed(longer, tmp_path, [f"tests/{word}"]) == killed
    assert (tmp_path / SCRIPT).read_text() == (ROOT / SCRIPT).read_text()


def test_a_test_that_reads_a_script_meets_its_mutants(tmp_path: Path) -> None:
    """Which scripts a test uses is known of one that sends their text itself, as models with a clock do."""
    test = "tests/rate_limits/test_models.py::test_the_scripts_do_what_the_model_says[Gcra]"
    environment = os.environ | {"SCRIPT_CALLS": str(tmp_path / "calls.json")}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.lab.calls", test)
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
    assert "gcra_hit" in json.loads((tmp_path / "calls.json").read_text())["tests"][test]["scripts"]


def test_what_is_listed_as_equivalent_is_a_mutant() -> None:
    """Each line of the list of equivalent mutants names one that the scripts have today."""
    scripts = (path.relative_to(ROOT) for path in ROOT.glob("aioredis_patterns/*/lua/*.lua"))
    assert EQUIVALENT.keys() <= {mutant.name for script in scripts for mutant in mutants_of(script)}


def _line(number: int) -> str:
    return (ROOT / SCRIPT).read_text().splitlines()[number - 1]
