"""The LightningDataModule: from a folder's path to batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from vision_ft.data.augment import Augmentation
from vision_ft.data.dealing import deal, describe
from vision_ft.data.layout import AUTO, list_photos
from vision_ft.data.listing import TEST, TRAIN, VAL
from vision_ft.data.loading import PhotoDataset, PhotoSampler, Sample
from vision_ft.data.manifest import Manifest, check_readable, describe_unreadable
from vision_ft.data.plain import PlainPhotos
from vision_ft.data.prepared import manifest_of
from vision_ft.data.presets import transforms_of
from vision_ft.data.reading import fitting_workers, reached
from vision_ft.data.settings import setting_faults
from vision_ft.data.sides import kept_sides, read_sides, write_sides
from vision_ft.data.split import Split
from vision_ft.errors import CheckpointError, ConfigError, DataError
from vision_ft.files import spread
from vision_ft.framing import Framing
from vision_ft.supply.draw import draw_if_missing

_DRAWN = "drawn:"
# How many photos an export is compared on.
GOLDEN = 64


class PhotoData(pl.LightningDataModule):
    """Labelled photos."""

    def __init__(
        self,
        root: str,
        layout: str = AUTO,
        split: Split = Split(),  # noqa: B008 - frozen
        augment: list[dict[str, Any]] | str | None = None,
        views: int | None = None,
        batch_size: int = 32,
        num_workers: int | None = None,
        max_unreadable: float = 0.05,
        earlier: str | None = None,
        seed: int = 0,
    ) -> None:
        """List the folder; photos are read in :meth:`setup`.

        Args:
            root: a folder with one folder a class, or with train, val and test folders above those; a folder of
                photos whose names say the class; or a table, such as the manifest that data prepare writes.
                ``drawn:FOLDER`` is a folder of practice drawings, drawn there when it is missing.
            layout: how the folder is read: auto, folders, or a way of naming photos: kaggle, oxford-pets,
                oxford-breeds.
            split: how photos are dealt out where the folder does not say.
            augment: random views of training photos: none, light, medium or strong, medium if not given; or a list of
                Albumentations transforms by name with their arguments.
            views: how many random views a photo has; epochs beyond go through them again, which costs less while
                stages are frozen. A new view each epoch if not given.
            batch_size: photos a step, on each device.
            num_workers: processes that read photos; fitted to the machine if not given, and none on a CPU.
            max_unreadable: the share of photos that may be unreadable before the run is stopped.
            earlier: sides.csv of an earlier run, or a manifest: photos that are in it, by contents, keep their sides,
                so that a model that learnt from some of them is not measured on these. Going on from a bundle that
                lies in its run's folder, it is that run's.
            seed: of the order of photos and of their random views; the command line takes it from seed_everything.

        Raises:
            DataError: the folder cannot be used.
            ConfigError: a setting is out of range.
        """
        super().__init__()
        if faults := setting_faults(batch_size, num_workers, max_unreadable, augment, views):
            raise ConfigError("; ".join(faults))
        self._split = split
        self._augment = transforms_of(augment)
        self.views = views
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._max_unreadable = max_unreadable
        self._earlier = None if earlier is None else Path(earlier).expanduser()
        self._sides_before: dict[str, str] = {}
        self._seed = seed
        self._manifest: Manifest | None = None
        self._framing: Framing | None = None
        folder = Path(root.removeprefix(_DRAWN)).expanduser()
        if root.startswith(_DRAWN):
            draw_if_missing(folder)
        self._listing = list_photos(folder, layout)

    def frame_as(self, framing: Framing) -> None:
        """Take over how photos are framed; it belongs to the weights, so the model says it.

        Raises:
            ConfigError: data.augment is wrong.
        """
        self._framing = framing
        self._augmentation = Augmentation(self._augment, framing)

    @property
    def framing(self) -> Framing:
        """How photos are framed; known once the model is."""
        if self._framing is None:
            raise ConfigError("photos have no frame yet: call frame_as(model.preprocessing.framing) first")
        return self._framing

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in natural order."""
        return self._listing.classes

    @property
    def batch_size(self) -> int:
        """Photos a batch, on each device."""
        return self._batch_size

    def use_batch_size(self, photos: int) -> None:
        """Let the next loaders have batches of another size."""
        self._batch_size = photos

    @property
    def folder_name(self) -> str:
        """The name of the folder, for people."""
        return self._listing.root.resolve().name

    @property
    def manifest(self) -> Manifest:
        """The photos that were read, with their sides; after :meth:`setup`."""
        if self._manifest is None:
            self._manifest = self._read()
        return self._manifest

    def _read(self) -> Manifest:
        manifest = manifest_of(self._listing)
        check_readable(manifest, self._max_unreadable)
        if self._earlier is not None:
            self._sides_before = read_sides(self._earlier)
        return deal(manifest, self._split, kept_sides(manifest, self._sides_before))

    @property
    def _has_all_sides(self) -> bool:
        sides = self._listing.table["split"]
        return sides.null_count() == 0 and VAL in sides

    def describe(self) -> list[str]:
        """What a person should know of the data, in lines."""
        lines = [*self._listing.notes, describe(self.manifest)]
        if self._split != Split() and self._has_all_sides:
            lines.append("data.split is of no account: every photo's side is given")
        if self._earlier is not None:
            lines += self._describe_earlier(self._earlier)
        if broken := self.manifest.unreadable.height:
            lines += [f"{broken} cannot be read and {'is' if broken == 1 else 'are'} left out:"]
            lines += describe_unreadable(self.manifest)
        return lines

    def _describe_earlier(self, earlier: Path) -> list[str]:
        sides = dict(self.manifest.readable.select("path", "split").iter_rows())
        before = kept_sides(self.manifest, self._sides_before)
        same = sum(sides[path] == side for path, side in before.items())
        learnt = sum(side == TRAIN and sides[path] in (VAL, TEST) for path, side in before.items())
        lines = [f"{same} of them keep the side that they had in {earlier}"]
        if learnt:
            lines.append(
                f"{learnt} that were learnt from before are for validation or test here, because the data says so: "
                "figures on them flatter a model that goes on from that one"
            )
        return lines

    def write_sides(self, path: Path) -> None:
        """Write down which side each photo is on, for a run that goes on from this one."""
        write_sides(path, self.manifest, self._sides_before)

    def setup(self, stage: str) -> None:
        """Read the photos and deal them out."""
        manifest = self.manifest
        if stage == "test" and not manifest.counts()[TEST]:
            raise DataError(f"data.root: {str(manifest.root)!r} has no test part to test on")

    def train_dataloader(self) -> DataLoader[Sample]:
        """Shuffled and augmented batches; the last, smaller one is kept unless it would be of a single photo."""
        rows = self.manifest.part(TRAIN)
        dataset = PhotoDataset(
            self.manifest.paths(rows),
            self.manifest.labels(rows),
            rows["path"].to_list(),
            self.framing,
            self._augmentation,
            self._seed,
            views=self.views,
        )
        return self._loader(dataset, shuffle=True)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Validation photos in order, framed as prediction frames them."""
        return self.plain_dataloader(VAL)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Test photos in order, framed as prediction frames them."""
        return self.plain_dataloader(TEST)

    def plain_dataloader(self, split: str) -> DataLoader[Sample]:
        """Photos of one part in order, framed as prediction frames them."""
        rows = self.manifest.part(split)
        paths, labels = self.manifest.paths(rows), self.manifest.labels(rows)
        return self._loader(PhotoDataset(paths, labels, rows["path"].to_list(), self.framing), shuffle=False)

    def plain_photos(self, split: str, view: int | None = None) -> PlainPhotos:
        """Photos of one part, to be looked at one by one or not at all: as framed, or as one of their random views."""
        rows = self.manifest.part(split)
        paths, labels, keys = self.manifest.paths(rows), self.manifest.labels(rows), rows["path"].to_list()
        digests = rows["sha256"].to_list()
        augmentation = None if view is None else self._augmentation
        dataset = PhotoDataset(paths, labels, keys, self.framing, augmentation, self._seed, digests)
        return PlainPhotos(dataset, labels, digests, self._batch_size, self._workers, view or 0)

    @property
    def _workers(self) -> int:
        if self._num_workers is not None:
            return self._num_workers
        if self.trainer is None:
            return 0
        return fitting_workers(self.trainer.strategy.root_device.type, self.trainer.world_size)

    def _loader(self, dataset: PhotoDataset, *, shuffle: bool) -> DataLoader[Sample]:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        workers = self._workers
        sampler = PhotoSampler(dataset, shuffle=shuffle, seed=self._seed, rank=rank, world_size=world_size)
        if shuffle and self.trainer is not None:
            # Lightning begins to draw the first epoch of a resumed run before it tells the sampler which one that is.
            epoch, batches = reached(self.trainer)
            sampler.go_on(epoch, batches * self._batch_size)
        return DataLoader(
            dataset,
            batch_size=self._batch_size,
            sampler=sampler,
            # BatchNorm that trains cannot work on a single photo; each epoch leaves out another one.
            drop_last=shuffle and len(sampler) > self._batch_size > 1 and len(sampler) % self._batch_size == 1,
            collate_fn=dataset.collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def groups(self, split: str) -> npt.NDArray[np.int64]:
        """A number for each photo of a part, the same for those that are near-duplicates of each other: (photos,)."""
        return np.unique(self.manifest.part(split)["group"].to_numpy(), return_inverse=True)[1]

    def golden(self) -> list[Path]:
        """Photos that an export is compared on: from validation first, then from training, at most 64."""
        paths: list[Path] = []
        for split in (VAL, TRAIN):
            # Spread over the part, which lies in order of classes.
            paths += spread(self.manifest.paths(self.manifest.part(split)), GOLDEN - len(paths))
        return paths

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data: enough to find it again and to tell whether it changed."""
        manifest = self.manifest
        root = manifest.root.resolve()
        return {
            "root": str(root),
            "batch_size": self._batch_size,
            "fingerprint": manifest.fingerprint(),
            "photos": manifest.counts(),
            # Below the root even where a photo is a link, so that they are found again when the root was moved.
            "golden": [str(root / path.relative_to(manifest.root)) for path in self.golden()],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to resume training on other data than the checkpoint's: what was held out there may not be here."""
        training = self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if training and state_dict["fingerprint"] != self.manifest.fingerprint():
            raise CheckpointError(
                "--ckpt_path: the photos, their labels or the split changed since that checkpoint was written, so the "
                "run cannot be resumed; start anew from its weights with --model.weights bundle:PATH"
            )
