"""Labels that were flipped on purpose, and where the check ranks them.

One label in a hundred is flipped, by seed. The features are those of the check's own backbone, taken once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vision_ft.audit.judged import out_of_fold, ranking, suspects
from vision_ft.commands.features import frozen_features
from vision_ft.data.layout import list_photos
from vision_ft.data.survey import survey
from vision_ft.machine import describe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    options = parser.parse_args()
    manifest = survey(list_photos(options.photos)).manifest
    features = frozen_features(manifest, options.backbone, "builtin:")
    photos = manifest.table[features.rows]
    true, groups = np.array(manifest.labels(photos)), photos["group"].to_list()
    flips, shown = round(len(true) / 100), round(len(true) / 50)
    print(describe(["torch", "timm", "scikit-learn"]))
    print(f"{len(true)} photos, {flips} labels flipped; the first {shown} of the ranking, and what is suspected:")
    shares = []
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        flipped = rng.choice(len(true), flips, replace=False)
        labels = true.copy()
        labels[flipped] = (labels[flipped] + rng.integers(1, len(manifest.classes), flips)) % len(manifest.classes)
        probabilities = out_of_fold(features.values, labels.tolist(), groups, len(manifest.classes))
        order, _ = ranking(probabilities, labels.tolist())
        found = len(set(order[:shown].tolist()) & set(flipped.tolist()))
        named = set(np.flatnonzero(suspects(probabilities, labels.tolist())).tolist())
        shares.append(found / flips)
        print(
            f"seed {seed}: {found} of {flips} flipped ones ranked there; {len(named)} suspected, "
            f"{len(named & set(flipped.tolist()))} of them flipped"
        )
    print(f"in the mean {np.mean(shares):.1%}, at the least {min(shares):.1%}")


if __name__ == "__main__":
    main()
