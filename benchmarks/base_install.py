"""How large the base install is, made in a fresh environment where no compiler can be called.

Fails if it is 250 MB or more, if anything had to be compiled, or if what was installed cannot predict. Needs a package
index. Files are counted as ``du`` does, in what they take on the disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LIMIT_MB = 250
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="a bundle to predict with")
    parser.add_argument("--photo", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "environment")
        venv.create(home, with_pip=True)
        python = home / "bin/python"
        # Without a search path there is no compiler, and CC names one that fails.
        bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        bare |= {"PATH": str(home / "bin"), "CC": "/bin/false", "CXX": "/bin/false"}
        # Nothing but wheels, for all but this package itself, which is pure Python.
        install = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", str(ROOT)]
        subprocess.run(install, env=bare, check=True)
        size = taken(home / "lib")
        for part in sorted((home / "lib").glob("python*/site-packages/*"), key=taken, reverse=True)[:6]:
            print(f"  {part.name}: {taken(part) / 1e6:.0f} MB")
        print(f"the base install, pip included: {size / 1e6:.0f} MB")
        subprocess.run([home / "bin/vision-ft", "--version"], env=bare, check=True)
        if options.bundle and options.photo:
            predict = [home / "bin/vision-ft", "predict", options.bundle.resolve(), options.photo.resolve()]
            subprocess.run(predict, env=bare, check=True, cwd=folder)
        if size >= LIMIT_MB * 1e6:
            sys.exit(f"more than {LIMIT_MB} MB")


def taken(path: Path) -> int:
    """Bytes on the disk."""
    files = (path, *path.rglob("*")) if path.is_dir() else (path,)
    return sum(file.lstat().st_blocks * 512 for file in files)


if __name__ == "__main__":
    main()
