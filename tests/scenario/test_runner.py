"""scripts/run-tests loses nothing: a suite that dies, hangs up before it counts or lies about its status is a failure."""

import os
import subprocess

import pytest
from deployment import ROOT


def run(tmp_path, cases):
    """Run it with a stand-in for make, whose targets do what cases say, by default pass one test. Returns the lines."""
    make = tmp_path / "make"
    lines = "".join(f"{target}) {script};;\n" for target, script in cases.items())
    make.write_text(f'#!/bin/sh\nfor target; do :; done\ncase $target in\n{lines}'
                    'unit-programs) ;;\n*) echo "$target: 1 passed, 0 failed";;\nesac\n')
    make.chmod(0o755)
    done = subprocess.run([ROOT / "scripts" / "run-tests"], env={"MAKE": str(make), **path_and_home()},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
    lines = done.stdout.splitlines()
    assert (done.returncode == 0) == (" 0 failed" in lines[-1]), done.stdout
    return lines


def path_and_home():
    return {name: os.environ[name] for name in ("PATH", "HOME", "STATOR_CACHE", "XDG_CACHE_HOME") if name in os.environ}


def test_all_suites_are_added_up(tmp_path):
    assert run(tmp_path, {"unit": "echo 'unit: 40 passed, 0 failed'"})[-1] == "45 passed, 0 failed"
    assert run(tmp_path, {"e2e": "echo 'e2e: 4 passed, 0 failed, 2 skipped'"})[-1] == "9 passed, 0 failed, 2 skipped"


@pytest.mark.parametrize("script, failed", [
    ("echo 'unit: 3 passed, 2 failed'; exit 1", 2), ("echo 'unit: 3 passed, 2 failed'", 2),
    ("echo 'unit: 3 passed, 0 failed'; exit 1", 1), ("exit 0", 1), ("kill -9 $$", 1), ("echo '3 passed, 0 failed'", 1),
])
def test_a_suite_that_fails_is_counted(tmp_path, script, failed):
    last = run(tmp_path, {"unit": script})[-1]
    assert f" {failed} failed" in last


def test_the_others_run_after_one_that_died(tmp_path):
    lines = run(tmp_path, {"unit": "kill -9 $$"})
    assert "e2e: 1 passed, 0 failed" in lines
    assert lines[-1] == "5 passed, 1 failed"


def test_a_build_that_fails_is_one_failure_and_the_end(tmp_path):
    lines = run(tmp_path, {"unit-programs": "echo 'main.c:1:1: error: no'; exit 2"})
    assert "main.c:1:1: error: no" in lines
    assert lines[-1] == "0 passed, 1 failed"
