"""What strangers saw when they started a deployment, against what stator plan says of it: tests/evidence/plan.tsv."""

import os
import subprocess

from deployment import ROOT, stator_bin

SCRIPT = ROOT / "scripts" / "plan-evidence"


def run(*arguments):
    return subprocess.run([SCRIPT, *arguments], env={**os.environ, "STATOR_BIN": str(stator_bin())}, capture_output=True, text=True,
                          timeout=300)


def test_no_deployment_that_failed_is_said_to_fit_and_the_page_is_current():
    done = run("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_many_of_both_kinds_and_each_has_a_source():
    lines = [line.split("\t") for line in (ROOT / "tests/evidence/plan.tsv").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) >= 300
    assert sum(line[0] == "failed" for line in lines) >= 100 and sum(line[0] == "ran" for line in lines) >= 100
    assert all(line[4].startswith("https://") and line[5] for line in lines)
    assert len({(line[1], line[2], line[3]) for line in lines}) == len(lines)
