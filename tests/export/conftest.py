from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import pytorch_lightning as pl

from tests.training import quick_trainer
from vision_ft.data.module import PhotoData
from vision_ft.model.classifier import Classifier

CheckpointOf: TypeAlias = Callable[[str], Path]

# At a rate at which convolutions begin to move, a transformer comes to say the same of every photo.
_RATES = {"vit_tiny_patch16_224": 1e-3}


@pytest.fixture(scope="session")
def checkpoint_of(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckpointOf:
    """The checkpoint of a backbone that was trained for a moment, with random weights, at 32 pixels."""
    made: dict[str, Path] = {}

    def make(backbone: str) -> Path:
        if backbone not in made:
            made[backbone] = _train(backbone, drawings, tmp_path_factory.mktemp(backbone))
        return made[backbone]

    return make


def _train(backbone: str, drawings: Path, folder: Path) -> Path:
    from vision_ft.train.schedule import Phase
    from vision_ft.train.unfreeze import Unfreeze

    pl.seed_everything(0, verbose=False)
    data = PhotoData(str(drawings), batch_size=28, num_workers=0)
    model = Classifier(data.classes, backbone, "random:", image_size=32)
    data.frame_as(model.preprocessing.framing)
    trainer = quick_trainer(folder, 2, [Unfreeze([Phase(2, "all", _RATES.get(backbone, 1e-2))], batch_norm="train")])
    trainer.fit(model, data)
    trainer.save_checkpoint(folder / "model.ckpt")
    return folder / "model.ckpt"
