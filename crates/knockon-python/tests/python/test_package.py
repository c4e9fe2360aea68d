"""The package as a whole: its types, and the notebook among the examples."""

import runpy
import subprocess
import sys
from pathlib import Path

import knockon
import pytest

EXAMPLES = Path(__file__).parents[4] / "examples/python"


def test_types_are_those_of_the_module(tmp_path):
    checked = subprocess.run([sys.executable, "-m", "mypy.stubtest", "knockon"],
                             capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (Path(knockon.__file__).parent / "py.typed").exists()


def test_everything_public_is_documented():
    for name in knockon.__all__:
        if name != "__version__":
            assert getattr(knockon, name).__doc__, name


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_run(example, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example))
