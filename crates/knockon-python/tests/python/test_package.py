"""The package as a whole: its types, and the notebook among the examples."""

import doctest
import runpy
import subprocess
import sys
from pathlib import Path

import knockon
import pytest

ROOT = Path(__file__).parents[4]


def test_types_are_those_of_the_module(tmp_path):
    checked = subprocess.run([sys.executable, "-m", "mypy.stubtest", "knockon"],
                             capture_output=True, text=True, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (Path(knockon.__file__).parent / "py.typed").exists()


def test_everything_public_is_documented():
    for name in knockon.__all__:
        if name != "__version__":
            assert getattr(knockon, name).__doc__, name


@pytest.mark.parametrize("example", sorted(ROOT.glob("examples/python/*.py")), ids=lambda path: path.name)
def test_examples_run(example, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example))


def test_the_page_for_experimenters_shows_what_python_prints():
    tested = doctest.testfile(str(ROOT / "docs/experimenters.md"), module_relative=False)
    assert tested.attempted > 5 and tested.failed == 0
