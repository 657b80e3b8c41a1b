"""What a run's exported model is worth: which novelty tells pets from other things, and what int8 and calibration cost.

Novelty is compared in one run, on the features that the bundle's own graph has: the validation and test part against a
folder of pictures of something else.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.metrics import roc_auc_score

from vision_ft.commands.export import _locate, _manifest
from vision_ft.commands.handover import hand_over
from vision_ft.commands.showing import batches_of
from vision_ft.data.listing import TEST, TRAIN, VAL
from vision_ft.data.manifest import Manifest
from vision_ft.evaluate.measure import measure
from vision_ft.export.graph import core_of
from vision_ft.export.learned import Runner
from vision_ft.export.novelty import remembered
from vision_ft.files import walk_photos
from vision_ft.framing import Framing
from vision_ft.machine import describe
from vision_ft.model.checkpoint import load_network
from vision_ft.runtime.predictor import Predictor
from vision_ft.train.exporting import Export

Floats = np.ndarray
SHRINKAGE = 0.05


def seen(runner: Runner, paths: list[Path], framing: Framing) -> tuple[Floats, Floats]:
    """Features and logits."""
    found = [runner(pixels) for _, pixels in batches_of(paths, range(len(paths)), framing)]
    features, logits = (np.concatenate(column).astype(np.float64) for column in zip(*found, strict=True))
    return features, logits


def units(features: Floats) -> Floats:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def neighbour(bank: Floats, asked: Floats, place: int) -> Floats:
    alike = np.sort(units(asked) @ units(bank).T, axis=1)[:, -place]
    return np.sqrt(np.maximum(2 - 2 * alike, 0))


def precision(centred: Floats) -> Floats:
    """Shrunk alike for all classes and for each, without which their difference tells nothing."""
    covariance = centred.T @ centred / len(centred)
    width = len(covariance)
    return np.linalg.inv(covariance + SHRINKAGE * np.trace(covariance) / width * np.eye(width))


def mahalanobis(known: Floats, labels: Floats, asked: Floats, *, relative: bool) -> Floats:
    means = [known[labels == label].mean(axis=0) for label in np.unique(labels)]
    centred = np.concatenate([known[labels == label] - mean for label, mean in enumerate(means)])
    within = precision(centred)
    nearest = np.min([np.einsum("ij,jk,ik->i", asked - mean, within, asked - mean) for mean in means], axis=0)
    if not relative:
        return nearest
    off = asked - known.mean(axis=0)
    return nearest - np.einsum("ij,jk,ik->i", off, precision(known - known.mean(axis=0)), off)


def novelties(runner: Runner, manifest: Manifest, others: Path, framing: Framing) -> None:
    rows = manifest.part(TRAIN)
    labels = np.array(manifest.labels(rows), dtype=np.int64)
    known, _ = seen(runner, list(manifest.paths(rows)), framing)
    pets = [path for part in (VAL, TEST) for path in manifest.paths(manifest.part(part))]
    asked, logits = seen(runner, pets, framing)
    other, other_logits = seen(runner, list(walk_photos(others)), framing)
    chosen = remembered(labels)
    both = np.concatenate([asked, other])
    truth = np.repeat([0, 1], [len(asked), len(other)])
    scores = {
        f"neighbour {place}, {len(bank):,} photos": neighbour(bank, both, place)
        for bank in (known[chosen], known)
        for place in (1, 5, 20)
    }
    scores |= {
        "Mahalanobis": mahalanobis(known, labels, both, relative=False),
        "relative Mahalanobis": mahalanobis(known, labels, both, relative=True),
        "largest logit": -np.concatenate([logits, other_logits]).max(axis=1),
    }
    print(f"\n{len(asked)} pets of the validation and test part against {len(other)} pictures of something else")
    print("| score | AUROC |\n| --- | --- |")
    for name, score in scores.items():
        print(f"| {name} | {roc_auc_score(truth, score):.4f} |")


def engines(checkpoint: Path, manifest: Manifest, others: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "bundle")
        handed = hand_over(checkpoint, out, manifest, export=Export(["onnx", "int8", "openvino", "pt2"]))
        print(f"\nrefused: {handed.refused or 'none'}")
        for name, record in handed.spec.engines.items():
            print(f"{name}: {handed.sizes[record['file']] / 1e6:.2f} MB, {record}")
        print(f"calibration: temperature {handed.spec.temperature:.3f}, {handed.spec.calibration}")
        others_paths = list(walk_photos(others))
        for engine in ("onnx", "int8", "openvino"):
            predictor = Predictor.load(out, engine)
            for part, scores in measure(predictor, manifest).scores.items():
                record = scores.as_record()
                print(f"{engine}, {part}: accuracy {record['accuracy']:.4f}, log-loss {record['log_loss']:.4f}")
            pets = [path for part in (VAL, TEST) for path in manifest.paths(manifest.part(part))]
            found = [one.novelty for one in predictor.predict([*pets, *others_paths])]
            truth = np.repeat([0, 1], [len(pets), len(others_paths)])
            novelty = np.array(found)
            print(
                f"{engine}: AUROC {roc_auc_score(truth, novelty):.4f}; called neither: "
                f"{(novelty[truth == 0] > 1).mean():.1%} of pets, {(novelty[truth == 1] > 1).mean():.1%} of the others"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("others", type=Path, help="a folder of pictures of something else")
    options = parser.parse_args()
    print(describe(["torch", "onnxruntime", "openvino", "scikit-learn"]))
    checkpoint, folder = _locate(options.run)
    network, record = load_network(checkpoint)
    manifest = _manifest(folder, Path(record.data["root"]), record, Console(stderr=True))
    if manifest is None:
        raise SystemExit(f"{options.run}: its photos are not to be had")
    novelties(Runner(core_of(network)), manifest, options.others, network.preprocessing.framing)
    engines(checkpoint, manifest, options.others)


if __name__ == "__main__":
    main()
