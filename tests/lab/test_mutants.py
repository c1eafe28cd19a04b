"""The mutants of the scripts are other scripts than the scripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.equivalent import EQUIVALENT
from tests.lab.forks import HUNG, KILLED, SURVIVED
from tests.lab.mutants import ROOT, folder_of, mutants_of, rooms, scripts_of, verdicts

SCRIPT = Path("aioredis_patterns/locks/lua/lock_release.lua")


def test_each_mutant_differs_in_one_line() -> None:
    """A mutant is its script but for one line of code."""
    mutants = list(mutants_of(SCRIPT))
    assert len(mutants) >= 3
    for mutant in mutants:
        meeting = mutant.meeting()
        lines = zip(meeting.original.splitlines(), meeting.mutated.splitlines(), strict=True)
        assert [one for one, other in lines if one != other] == [meeting.original.splitlines()[mutant.number - 1]]
        assert meeting.original == (ROOT / SCRIPT).read_text()


def test_a_mutant_is_killed_by_a_test_that_fails(tmp_path: Path) -> None:
    """What a test finds is killed, in memory and on the disk; what hangs is told; the script is then as before."""
    for folder in ("aioredis_patterns", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    checks = {
        "loads": "assert lock._RELEASE.source.text == TEXT",
        "reads": f"assert Path('{SCRIPT}').read_bytes() == FILE",
        "hangs": "while lock._RELEASE.source.text != TEXT: pass",
        "looks": "assert lock._RELEASE",
    }
    head = f"from pathlib import Path\nfrom aioredis_patterns.locks import lock\nFILE = Path('{SCRIPT}').read_bytes()\n"
    body = "".join(f"def test_{name}():\n    {check}\n" for name, check in checks.items())
    (tmp_path / "tests" / "test_it.py").write_text(f"{head}TEXT = lock._RELEASE.source.text\n{body}")
    mutant = next(iter(mutants_of(SCRIPT)))
    meetings = [mutant.meeting([f"tests/test_it.py::test_{name}"]) for name in checks]
    assert [*verdicts(meetings, tmp_path, 2, "tests/test_it.py")] == [KILLED, KILLED, HUNG, SURVIVED]
    assert (tmp_path / SCRIPT).read_text() == (ROOT / SCRIPT).read_text()


def test_a_test_that_reads_a_script_meets_its_mutants(tmp_path: Path) -> None:
    """Which scripts a test uses is known of one that sends their text itself, as models with a clock do."""
    test = "tests/rate_limits/test_models.py::test_the_scripts_do_what_the_model_says[Gcra]"
    environment = os.environ | {"SCRIPT_CALLS": str(tmp_path / "calls.json")}
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.lab.calls", test)
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
    assert "gcra_hit" in json.loads((tmp_path / "calls.json").read_text())["tests"][test]["scripts"]


@pytest.mark.parametrize("room", rooms())
def test_the_scripts_of_a_room_have_tests(room: str) -> None:
    """Each folder of scripts has mutants, and tests for them to meet."""
    assert any(True for script in scripts_of(room) for _ in mutants_of(script))
    assert (ROOT / folder_of(room)).is_dir()


def test_what_is_listed_as_equivalent_is_a_mutant() -> None:
    """Each line of the list of equivalent mutants names one that the scripts have today."""
    scripts = (path.relative_to(ROOT) for path in ROOT.glob("aioredis_patterns/**/lua/*.lua"))
    assert EQUIVALENT.keys() <= {mutant.name for script in scripts for mutant in mutants_of(script)}
