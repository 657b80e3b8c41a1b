"""The settings of a split."""

from __future__ import annotations

from dataclasses import dataclass

from vision_ft.data.listing import TEST, TRAIN, VAL
from vision_ft.errors import ConfigError

# A side that no photo of is used: what a fixed number of training photos leaves over.
_UNUSED = "unused"


@dataclass(frozen=True)
class Split:
    """How photos are dealt out where nothing says.

    Attributes:
        train: share to learn from.
        val: share that every choice is made on.
        test: share that no choice is made on; 0 for none.
        seed: which photos go where. Apart from the training's own seed, so that runs can be compared.
        train_per_class: a fixed number of photos of each class to learn from; what is left over is on no side.
        val_per_class: a fixed number of photos of each class, in place of the share.
        test_per_class: a fixed number of photos of each class, in place of the share.
        folds: deal what is not for the test into so many equal parts, for cross-validation.
        fold: which of them is for validation, from 0; the others are for training.
    """

    train: float = 0.70
    val: float = 0.15
    test: float = 0.15
    seed: int = 0
    train_per_class: int | None = None
    val_per_class: int | None = None
    test_per_class: int | None = None
    folds: int | None = None
    fold: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no split; all faults at once."""
        faults = []
        shares = (self.train, self.val, self.test)
        if self.seed < 0:
            faults.append(f"data.split.seed is {self.seed}, must be 0 or more")
        if not (min(self.train, self.val) > 0 and self.test >= 0 and abs(sum(shares) - 1) <= 1e-6):
            faults.append(
                f"data.split: train {self.train:g}, val {self.val:g}, test {self.test:g} must add up to 1, "
                "with train and val above 0"
            )
        for name, count, least in (
            ("train_per_class", self.train_per_class, 1),
            ("val_per_class", self.val_per_class, 1),
            ("test_per_class", self.test_per_class, 0),
        ):
            if count is not None and count < least:
                faults.append(f"data.split.{name} is {count}, must be {least} or more")
        if self.folds is not None:
            if self.folds < 2:
                faults.append(f"data.split.folds is {self.folds}, must be 2 or more")
            if self.train_per_class is not None or self.val_per_class is not None:
                faults.append(
                    "data.split.folds makes equal parts, so it goes with neither train_per_class nor val_per_class"
                )
        if not 0 <= self.fold < (self.folds or 1):
            where = "without data.split.folds" if self.folds is None else f"of {self.folds} folds"
            faults.append(f"data.split.fold is {self.fold} {where}, must be from 0 to {(self.folds or 1) - 1}")
        if faults:
            raise ConfigError("; ".join(faults))

    def parts(self, photos: int, *, without_test: bool = False) -> dict[str, float]:
        """How many photos of a class go into each part: train, val and test, or test and a part a fold.

        Args:
            photos: of that class.
            without_test: deal out training and validation alone, in the same relation.
        """
        test = self.test * photos if self.test_per_class is None else self.test_per_class
        val = self.val * photos if self.val_per_class is None else self.val_per_class
        if without_test:
            test = 0
            val = val / (self.train + self.val) if self.val_per_class is None else val
        parts: dict[str, float] = {} if without_test else {TEST: test}
        if self.folds is not None:
            return {fold_part(fold): (photos - test) / self.folds for fold in range(self.folds)} | parts
        rest = photos - val - test
        if self.train_per_class is None:
            return {TRAIN: rest, VAL: val} | parts
        return {TRAIN: self.train_per_class, VAL: val} | parts | {_UNUSED: rest - self.train_per_class}

    def side_of(self, part: str) -> str | None:
        """The side that a part is for; ``None`` for photos that are not used."""
        if part.startswith(_FOLD):
            return VAL if part == fold_part(self.fold) else TRAIN
        return None if part == _UNUSED else part


_FOLD = "fold "


def fold_part(fold: int) -> str:
    """The name of the part that a fold is for validation."""
    return f"{_FOLD}{fold}"
