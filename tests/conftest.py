"""Shared by the scenario and end-to-end tests: deployments that many tests use, and the line scripts/run-tests adds up."""

import os
import pathlib
import subprocess

import pytest
from deployment import ROOT, Deployment, mock_graph, stator_bin


@pytest.fixture(scope="session")
def demo_model():
    """The path of the demo model's GGUF."""
    path = os.environ.get("STATOR_MODEL")
    return path or subprocess.run([ROOT / "scripts" / "model"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture(scope="session")
def vocabularies():
    """The folder of llama.cpp's tokenizer-only GGUF files."""
    command = [ROOT / "scripts" / "llama", "dir"]
    folder = pathlib.Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip(), "vocab")
    assert folder.is_dir(), f"{folder} is not there; run make"
    return folder


@pytest.fixture(scope="module")
def mock():
    """Two mock workers with short deadlines towards clients, shared by the tests of a file."""
    limits = {"header-timeout": "1s", "body-timeout": "1s", "stall-timeout": "2s", "max-body-bytes": "1MiB",
              "max-header-bytes": "16KiB"}
    with Deployment(graph=mock_graph(limits, workers=2)) as deployment:
        yield deployment


def pytest_configure(config):
    if not os.access(stator_bin(), os.X_OK):
        raise pytest.UsageError(f"there is no program at {stator_bin()}; run make, or set STATOR_BIN")


def pytest_terminal_summary(terminalreporter, config):
    def count(*outcomes):
        return sum(len(terminalreporter.stats.get(outcome, [])) for outcome in outcomes)

    path = pathlib.Path(config.args[0].split("::")[0]).resolve()
    suite = path.parent.name if path.suffix else path.name
    line = f"{suite}: {count('passed')} passed, {count('failed', 'error')} failed"
    skipped = count("skipped")
    terminalreporter.write_line(line + (f", {skipped} skipped" if skipped else ""))
