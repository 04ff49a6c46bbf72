"""Shared by the scenario and end-to-end tests: where the program is, and the line scripts/run-tests adds up."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def stator_bin():
    """The program under test: $STATOR_BIN, by default build/stator of this tree."""
    return os.environ.get("STATOR_BIN") or str(ROOT / "build" / "stator")


def pytest_configure(config):
    if not os.access(stator_bin(), os.X_OK):
        raise pytest.UsageError(f"there is no program at {stator_bin()}; run make, or set STATOR_BIN")


def pytest_terminal_summary(terminalreporter, config):
    def count(*outcomes):
        return sum(len(terminalreporter.stats.get(outcome, [])) for outcome in outcomes)

    suite = pathlib.Path(config.args[0].split("::")[0]).name
    line = f"{suite}: {count('passed')} passed, {count('failed', 'error')} failed"
    skipped = count("skipped")
    terminalreporter.write_line(line + (f", {skipped} skipped" if skipped else ""))
