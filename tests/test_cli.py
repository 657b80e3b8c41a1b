from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vision_ft import __version__
from vision_ft.cli import VERBS, main

HEAVY = ("torch", "timm", "pytorch_lightning", "albumentations", "polars", "onnxruntime", "numpy", "PIL")


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)
    assert "exit codes" in shown


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["data", "--help"], ["nonsense"]])
def test_the_table_of_verbs_imports_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from vision_ft.cli import main; main({args!r}); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert not [name for name in HEAVY if f"'{name}'" in loaded]


def test_help_answers_in_half_a_second() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vision_ft", "--help"], capture_output=True, check=True)
        return time.perf_counter() - start

    # The best of five: other work on the machine only ever makes it slower.
    assert min(seconds() for _ in range(5)) < 0.5


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vision-ft {__version__}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["fitt"], "did you mean 'fit'?"),
        (["data"], "data draw"),
        (["data", "drwa"], "did you mean 'data draw'?"),
        (["predict"], "BUNDLE, PATH"),
        (["predict", "bundle", "x.jpg", "--fromat", "table"], "--fromat"),
        (["predict", "bundle", "x.jpg", "--batch-size", "0"], "not a whole number, 1 or more"),
        (["predict", "bundle", "x.jpg", "--workers", "-1"], "not a whole number, 0 or more"),
        (["predict", "bundle", "x.jpg", "--timeout", "soon"], "not a number of seconds"),
        (["predict", "bundle", "x.jpg", "--timeout", "nan"], "not a number of seconds"),
        (["predict", "bundle", "x.jpg", "--resume"], "name it by --out"),
        (["export"], "RUN_OR_CKPT"),
        (["data", "draw"], "FOLDER"),
    ],
)
def test_a_wrong_command_gets_one_line(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


def test_no_verb_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """As with the base install: the training libraries are not there."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('pytorch_lightning', 'lightning_fabric', 'torch'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name.split('.')[0])\n"
        "sys.meta_path.insert(0, Block())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vision_ft", "fit"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'vision-ft[train]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m vision_ft --help | head -c 1", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
