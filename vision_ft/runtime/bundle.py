"""Opening a bundle: every file is checked before any is used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vision_ft.errors import BundleError, UsageError, nearest
from vision_ft.runtime.engine import ENGINES, Engine
from vision_ft.spec import MODEL_FILE, PT2_FILE, SPEC_FILE, WEIGHTS_FILE, ModelSpec

# Checked like the others, but for PyTorch; they are not held on to.
_NOT_RUN = frozenset({WEIGHTS_FILE, PT2_FILE})


def open_bundle(folder: Path) -> tuple[ModelSpec, dict[str, bytes]]:
    """Read a bundle and check the SHA-256 of each of its files.

    Args:
        folder: the bundle.

    Returns:
        The spec, and the bytes of each file by its name, the very bytes that were checked, but for those that only
        PyTorch reads.

    Raises:
        BundleError: the folder is missing or no bundle, or a file in it is missing or was changed.
    """
    spec_path = folder / SPEC_FILE
    if not folder.exists():
        raise BundleError(f"no bundle {str(folder)!r}; 'vision-ft fit' and 'vision-ft export' write one")
    try:
        if not spec_path.is_file():
            raise BundleError(f"{str(folder)!r} is no bundle: it has no {SPEC_FILE}")
        spec = ModelSpec.from_json(spec_path.read_bytes(), str(spec_path))
        return spec, _checked_files(folder, spec)
    except OSError as error:
        raise BundleError(f"{error.filename or str(folder)}: {error.strerror}") from error


def engine_of(name: str, files: dict[str, bytes], lanes: int = 1) -> Engine:
    """An engine that runs a bundle's model.

    Args:
        name: of ENGINES.
        files: as :func:`open_bundle` gives them.
        lanes: how many calls at once are to share the cores, 1 or more.

    Raises:
        UsageError: there is no such engine, the bundle has no file for it, or it is not installed.
        BundleError: it cannot load the model.
    """
    kind = ENGINES.get(name)
    if kind is None:
        raise UsageError(f"no engine {name!r}{nearest(name, ENGINES)}; there are: {', '.join(ENGINES)}")
    if kind.file not in files:
        raise UsageError(
            f"the bundle has no {kind.file}, which engine {name} runs; add it with: vision-ft export RUN "
            f"--engines onnx,{name}"
        )
    return kind.load(files[kind.file], lanes)


def _checked_files(folder: Path, spec: ModelSpec) -> dict[str, bytes]:
    if MODEL_FILE not in spec.files:
        raise BundleError(f"{str(folder / SPEC_FILE)!r} does not list {MODEL_FILE}; export the model again")
    found = {}
    for name, expected in spec.files.items():
        path = folder / name
        if name != Path(name).name or not path.is_file():
            raise BundleError(f"{str(path)!r} is missing from the bundle; export the model again")
        # The very bytes that were checked are those that are used: nothing can come in between.
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise BundleError(f"{str(path)!r} was changed after it was written; export the model again")
        if name not in _NOT_RUN:
            found[name] = data
    return found
