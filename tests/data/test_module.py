from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from vision_ft.data.loading import Batch
from vision_ft.data.module import PhotoData
from vision_ft.data.split import Split
from vision_ft.errors import ConfigError, DataError
from vision_ft.framing import Framing

FolderOf = Callable[..., Path]
FRAMING = Framing(height=24, width=24, crop=1.0, interpolation="bilinear")


def module(root: Path | str, **settings: object) -> PhotoData:
    data = PhotoData(str(root), **{"num_workers": 0, "batch_size": 8, **settings})  # type: ignore[arg-type]
    data.frame_as(FRAMING)
    return data


def epoch_of(loader: DataLoader, epoch: int) -> dict[int, torch.Tensor]:
    """Row → pixels, in the order that they came."""
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    batches: list[Batch] = list(loader)
    return {int(row): pixels for batch in batches for row, pixels in zip(batch.rows, batch.pixels, strict=True)}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_views_of_one_epoch_differ_from_those_of_the_next(drawings: Path, workers: int) -> None:
    """Albumentations 2.0.8 can repeat one augmentation per batch position with several workers."""
    loader = module(drawings, num_workers=workers).train_dataloader()
    first, second, again = (epoch_of(loader, epoch) for epoch in (0, 1, 0))
    assert list(first) != list(second), "the order is the same in both epochs"
    assert sorted(first) == sorted(second) == list(range(56))
    assert not [row for row in first if torch.equal(first[row], second[row])]
    assert list(first) == list(again)
    assert all(torch.equal(first[row], again[row]) for row in first)


def test_workers_change_nothing(drawings: Path) -> None:
    alone, helped = (epoch_of(module(drawings, num_workers=number).train_dataloader(), 3) for number in (0, 2))
    assert list(alone) == list(helped)
    assert all(torch.equal(alone[row], helped[row]) for row in alone)


def test_validation_is_the_same_every_time_and_in_order(drawings: Path) -> None:
    loader = module(drawings).val_dataloader()
    first, second = epoch_of(loader, 0), epoch_of(loader, 1)
    assert list(first) == list(range(12))
    assert all(torch.equal(first[row], second[row]) for row in first)


def test_pixels_are_uint8_with_channels_last(drawings: Path) -> None:
    batch: Batch = next(iter(module(drawings).train_dataloader()))
    assert batch.pixels.shape == (8, 24, 24, 3)
    assert batch.pixels.dtype == torch.uint8
    assert batch.labels.dtype == torch.int64


def test_a_photo_that_breaks_after_it_was_read_is_left_out_and_named(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 20, "dog": 20})
    data = module(root, augment=[])
    gone = data.manifest.paths(data.manifest.part("train"))[3]
    gone.unlink()
    batches: list[Batch] = list(data.train_dataloader())
    assert sum(len(batch.labels) for batch in batches) == 27
    assert [path for batch in batches for path, _ in batch.unreadable] == [str(gone)]


def test_a_batch_of_broken_photos_is_empty(folder_of: FolderOf) -> None:
    root = folder_of({"cat": 20, "dog": 20})
    data = module(root, augment=[])
    loader = data.val_dataloader()
    for path in data.manifest.paths(data.manifest.part("val")):
        path.unlink()
    (batch,) = loader
    assert batch.pixels.shape == (0, 24, 24, 3)
    assert len(batch.unreadable) == 6


def test_every_rank_has_its_own_photos_and_validation_counts_each_once(drawings: Path) -> None:
    from vision_ft.data.loading import PhotoSampler

    dataset = module(drawings).val_dataloader().dataset
    ranks = [[row for _, row, _ in PhotoSampler(dataset, shuffle=False, rank=rank, world_size=5)] for rank in range(5)]  # type: ignore[arg-type]
    assert sorted(row for rows in ranks for row in rows) == list(range(12))


def test_drawn_is_drawn_when_missing_and_left_alone_when_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_ft.supply.draw.COUNT", 5)
    monkeypatch.setattr("vision_ft.supply.draw.draw_set.__kwdefaults__", {"count": 5, "size": 32, "seed": 0})
    root = tmp_path / "practice"
    assert PhotoData(f"drawn:{root}").classes == ("cat", "dog")
    (root / "cat" / "mine.txt").write_text("kept")
    PhotoData(f"drawn:{root}")
    assert (root / "cat" / "mine.txt").read_text() == "kept"


def test_a_mistyped_folder_is_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        PhotoData(str(tmp_path / "nothing"))


def test_all_faults_of_the_settings_come_at_once(drawings: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        PhotoData(str(drawings), batch_size=0, num_workers=-1, max_unreadable=1.5)
    assert all(name in str(caught.value) for name in ("batch_size", "num_workers", "max_unreadable"))


@pytest.mark.parametrize(("batch_size", "batches"), [(8, 7), (11, 5), (55, 1), (56, 1), (100, 1), (1, 56)])
def test_no_batch_of_a_single_photo(drawings: Path, batch_size: int, batches: int) -> None:
    """BatchNorm that trains cannot work on one; 56 training photos in batches of 11 or 55 leave one over."""
    loader = module(drawings, batch_size=batch_size).train_dataloader()
    assert len(loader) == len(list(loader)) == batches


def test_golden_photos_of_a_large_part_are_of_every_class(folder_of: FolderOf) -> None:
    data = module(folder_of({"a": 300, "b": 300, "c": 300}, size=(24, 24)))
    names = [path.parent.name for path in data.golden()]
    assert len(names) == 64
    assert all(abs(names.count(name) - 64 / 3) < 2 for name in "abc")


def test_golden_photos_that_are_links_are_kept_below_the_root(drawings: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    for kind in ("cat", "dog"):
        (tmp_path / "linked" / kind).mkdir()
        for path in (drawings / kind).iterdir():
            (tmp_path / "linked" / kind / path.name).symlink_to(path)
    state = module(tmp_path / "linked").state_dict()
    assert all(Path(path).is_relative_to(state["root"]) for path in state["golden"])
    assert state["root"] == str((tmp_path / "linked").resolve())


def test_golden_photos_are_readable_and_spread_over_the_classes(drawings: Path) -> None:
    golden = module(drawings).golden()
    assert len(golden) == 64
    assert len(set(golden)) == 64
    assert {path.parent.name for path in golden[:12]} == {"cat", "dog"}


def test_a_split_that_is_not_used_is_said(folder_of: FolderOf) -> None:
    root = folder_of({"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2})
    line = "data.split is of no account: every photo's side is given"
    assert line in PhotoData(str(root), split=Split(val=0.2, test=0.1)).describe()
    assert line not in PhotoData(str(root)).describe()
    assert line not in PhotoData(str(root / "train"), split=Split(val=0.4, train=0.5, test=0.1)).describe()
