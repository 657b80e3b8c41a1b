"""The table of verbs. A verb's module is imported when it is used, so that ``--help`` answers at once."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from vision_ft import __version__
from vision_ft.commands.console import forget_reader
from vision_ft.errors import NO_SPACE, ExitCode, ExportMismatch, InputError, nearest

# verb → (module, what it does); "data draw" and the like are one verb of two words.
VERBS: dict[str, tuple[str, str]] = {
    "data check": ("vision_ft.commands.check", "say what is wrong with a labelled folder of photos"),
    "data prepare": ("vision_ft.commands.prepare", "leave out what is broken or doubtful; writes a manifest to fit on"),
    "data fetch": ("vision_ft.commands.fetch", "download a published set of pets: oxford-pets, cats-dogs"),
    "data draw": ("vision_ft.commands.draw", "draw a labelled practice set of cat and dog faces"),
    "fit": ("vision_ft.commands.fit", "fine-tune a backbone on a labelled folder of photos"),
    "find lr": ("vision_ft.commands.find", "try learning rates in each phase, and draw what the loss does"),
    "find batch": ("vision_ft.commands.find", "try batch sizes in each phase, until memory is short"),
    "tune": ("vision_ft.commands.tune", "search for better settings, trial by trial"),
    "benchmark": ("vision_ft.commands.benchmark", "time each part of a fit on this machine"),
    "validate": ("vision_ft.commands.fit", "score a checkpoint on the validation part"),
    "test": ("vision_ft.commands.fit", "score a checkpoint on the test part"),
    "export": ("vision_ft.commands.export", "turn a run or a checkpoint into a bundle"),
    "report": ("vision_ft.commands.report", "draw the page of a run again, or hold two runs against each other"),
    "predict": ("vision_ft.commands.predict", "say what is on photos, with a bundle; needs no PyTorch"),
}

_TRAIN_MODULES = frozenset(
    [
        "torch",
        "torchvision",
        "timm",
        "albumentations",
        "pytorch_lightning",
        "lightning_fabric",
        "yaml",
        "jsonargparse",
        "torchmetrics",
        "safetensors",
        "onnx",
        "onnxscript",
        "polars",
        "scipy",
        "sklearn",
        "jinja2",
        "requests",
        "tensorboard",
        "matplotlib",
        "captum",
        "psutil",
    ]
)


def usage() -> str:
    """The text of ``vision-ft --help``."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {about}" for verb, (_, about) in VERBS.items()]
    return "\n".join(
        [
            f"vision-ft {__version__}: fine-tune on a folder of photos, predict without PyTorch",
            "",
            "usage: vision-ft VERB …        vision-ft VERB --help        vision-ft --version",
            "",
            *lines,
            "",
            "Start here: vision-ft fit --config configs/quickstart.yaml",
            "Your photos: vision-ft data check FOLDER",
            "Then: vision-ft fit --config configs/cats_dogs.yaml --data.root FOLDER",
            "",
            "exit codes: 0 done; 1 a defect of ours; 2 your input or settings; 3 done, but some files could not be "
            "read, or a check found something; 130 interrupted; 143 told to stop",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage() + "\n")
        return ExitCode.DONE if args else ExitCode.INPUT
    if args[0] in ("-V", "--version"):
        sys.stdout.write(f"vision-ft {__version__}\n")
        return ExitCode.DONE
    words = 2 if args[0] in {verb.split()[0] for verb in VERBS if " " in verb} else 1
    if words == 2 and len(args) > 1 and args[1] in ("-h", "--help"):
        sys.stdout.write(usage() + "\n")
        return ExitCode.DONE
    verb, rest = " ".join(args[:words]), args[words:]
    if verb not in VERBS:
        known = [known for known in VERBS if words == 1 or known.startswith(args[0] + " ")]
        return _fail(f"no verb {verb!r}{nearest(verb, known)}; there are: {', '.join(known)}")
    return _run(verb, rest)


def _run(verb: str, args: list[str]) -> int:
    try:
        module = _imported(VERBS[verb][0])
        return int(module.main(verb, args))
    except InputError as error:
        return _fail(str(error))
    except ExportMismatch as error:
        return _fail(str(error), ExitCode.DEFECT)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _TRAIN_MODULES:
            raise
        return _fail(f"{verb} needs {error.name}, which is not installed: pip install 'vision-ft[train]'")
    except KeyboardInterrupt:
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except SystemExit as stop:
        # rich ends the program itself when the reader of a table goes away.
        if isinstance(stop.__context__, BrokenPipeError):
            return ExitCode.DONE
        raise
    except PermissionError as error:
        return _fail(f"{error.filename}: {error.strerror}; mend its permissions, or name another place")
    except BrokenPipeError:
        forget_reader()
        return ExitCode.DONE
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        return _fail(f"the disk is full{where}: make room and run the command again")


def _imported(module: str) -> ModuleType:
    """A verb's module. Nothing that is imported is garbage yet; to look for some takes a sixth of the time."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()


def _fail(message: str, code: ExitCode = ExitCode.INPUT) -> int:
    sys.stderr.write(f"vision-ft: {message}\n")
    return code
