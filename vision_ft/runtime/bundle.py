"""Opening a bundle: every file is checked before any is used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vision_ft.errors import BundleError
from vision_ft.spec import MODEL_FILE, SPEC_FILE, ModelSpec


def open_bundle(folder: Path) -> tuple[ModelSpec, bytes]:
    """Read a bundle and check the SHA-256 of each of its files.

    Args:
        folder: the bundle.

    Returns:
        The spec, and the bytes of ``model.onnx`` that were checked.

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
        return spec, _check_files(folder, spec)
    except OSError as error:
        raise BundleError(f"{error.filename or str(folder)}: {error.strerror}") from error


def _check_files(folder: Path, spec: ModelSpec) -> bytes:
    if MODEL_FILE not in spec.files:
        raise BundleError(f"{str(folder / SPEC_FILE)!r} does not list {MODEL_FILE}; export the model again")
    model = b""
    for name, expected in spec.files.items():
        path = folder / name
        if name != Path(name).name or not path.is_file():
            raise BundleError(f"{str(path)!r} is missing from the bundle; export the model again")
        # The very bytes that were checked are those that are used: nothing can come in between.
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise BundleError(f"{str(path)!r} was changed after it was written; export the model again")
        if name == MODEL_FILE:
            model = data
    return model
