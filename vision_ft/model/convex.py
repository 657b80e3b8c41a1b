"""Logistic regression on features, to its optimum: the convex part of fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from vision_ft.machine import usable_cores
from vision_ft.model.head import Linear

# How strongly the weights are held back, from hardly letting them be anything to hardly holding them; each optimum is
# where the search for the next begins.
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
_MOST_STEPS = 2000
# The search ends where the loss falls by less than this share of itself, or no gradient is larger than that: at the
# optimum, and where it is near enough to tell which of several strengths does best.
_EXACT, _ROUGH = (1e-12, 1e-7), (1e-6, 1e-4)
# Multiplications a step below which one thread does them best: on two cores, a fit of 1,400 photos takes a half to a
# tenth of the time so.
_WORTH_THREADS = 1 << 26
# Photos that are turned into float64 at once, and how many numbers of theirs are kept so (a gigabyte).
_BLOCK, _MOST_KEPT = 8192, 1 << 27


def optima(
    values: torch.Tensor,
    labels: torch.Tensor,
    prior: Linear,
    strengths: Sequence[float] = STRENGTHS,
    label_smoothing: float = 0.0,
    *,
    rough: bool = False,
) -> Iterator[tuple[float, Linear]]:
    """The optimum for each strength of regularisation.

    Minimises mean cross-entropy + strength / 2 · ‖V - V₀‖², where V are the weights of standardised features (each
    with mean 0 and standard deviation 1 over the photos) and V₀ the prior's; the biases are free. The function is
    convex, so there is one optimum, wherever the search begins. Found by L-BFGS (Liu and Nocedal 1989,
    https://doi.org/10.1007/BF01589116).

    Args:
        values: float (photos, features).
        labels: int64 (photos,), class numbers.
        prior: what the weights are held near; zeros for plain ridge regularisation.
        strengths: above 0.
        label_smoothing: the share of each label that is spread over all classes.
        rough: come near the optimum only, in about a fifth of the time.

    Yields:
        Strength and optimum, for features as they were given.
    """
    problem = _Problem(values, labels, len(prior.bias), label_smoothing)
    near = (prior.weight * problem.spread.nan_to_num(posinf=0.0)).cpu().numpy()
    # What the prior says of standardised features, so that the search begins with its answers.
    bias = (prior.bias + prior.weight @ problem.mean).cpu().numpy()
    now: npt.NDArray[np.float64] = np.concatenate([near.ravel(), bias])
    fall, gradient = _ROUGH if rough else _EXACT
    for strength in strengths:
        with _threads_for(values, len(prior.bias)):
            found = minimize(
                problem.loss_and_slope,
                now,
                args=(strength, near.ravel()),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS, "ftol": fall, "gtol": gradient},
            )
        now = found.x
        weight, free = problem.unpack(now)
        scaled = weight / problem.spread
        yield strength, Linear(scaled, free - scaled @ problem.mean)


def optimum(
    values: torch.Tensor, labels: torch.Tensor, prior: Linear, strength: float, label_smoothing: float = 0.0
) -> Linear:
    """The optimum for one strength; as :func:`optima`, which says what the arguments are."""
    ((_, found),) = optima(values, labels, prior, [strength], label_smoothing)
    return found


def side_by_side(paths: Sequence[Iterator[tuple[float, Linear]]], values: torch.Tensor, classes: int) -> Iterator[Any]:
    """What several calls of :func:`optima` yield, together, for each strength: a thread each, where a thread is enough.

    Args:
        paths: each of the same strengths.
        values: float (photos, features), the largest that one of them is on.
        classes: how many.
    """
    if _is_worth_threads(values, classes):
        yield from zip(*paths, strict=True)
        return
    # Threads that begin in here compute alone, each by itself.
    with _threads_for(values, classes), ThreadPoolExecutor(usable_cores(), "optima") as pool:
        while None not in (found := list(pool.map(lambda path: next(path, None), paths))):
            yield tuple(found)


def _is_worth_threads(values: torch.Tensor, classes: int) -> bool:
    return values.is_cuda or values.numel() * classes >= _WORTH_THREADS


@contextmanager
def _threads_for(values: torch.Tensor, classes: int) -> Iterator[None]:
    """One thread where a step is so short that several would spend their time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if _is_worth_threads(values, classes) else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Problem:
    """The function that is minimised, and its gradient."""

    def __init__(self, values: torch.Tensor, labels: torch.Tensor, classes: int, smoothing: float) -> None:
        self._values = values
        self._labels = labels
        self._classes = classes
        self._smoothing = smoothing
        blocks = torch.split(values, _BLOCK)
        self.mean = torch.stack([block.double().sum(0) for block in blocks]).sum(0) / len(values)
        squares = torch.stack([(block.double() - self.mean).square().sum(0) for block in blocks]).sum(0)
        spread = (squares / len(values)).sqrt()
        # A feature that is the same everywhere says nothing, whatever its weight.
        self.spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.inf)
        self._kept = list(self._standardised()) if values.numel() <= _MOST_KEPT else None

    def _standardised(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for values, labels in zip(torch.split(self._values, _BLOCK), torch.split(self._labels, _BLOCK), strict=True):
            yield (values.double() - self.mean) / self.spread, labels

    def loss_and_slope(
        self, flat: npt.NDArray[np.float64], strength: float, near: npt.NDArray[np.float64]
    ) -> tuple[float, npt.NDArray[np.float64]]:
        weight, bias = self.unpack(flat)
        loss = torch.zeros((), dtype=torch.float64, device=weight.device)
        slope = torch.zeros_like(weight)
        bias_slope = torch.zeros_like(bias)
        for standard, labels in self._kept or self._standardised():
            logs = (standard @ weight.T + bias).log_softmax(dim=1)
            wanted = torch.full_like(logs, self._smoothing / self._classes)
            wanted[torch.arange(len(labels), device=labels.device), labels] += 1 - self._smoothing
            loss -= (wanted * logs).sum()
            error = logs.exp() - wanted
            slope += error.T @ standard
            bias_slope += error.sum(0)
        photos = len(self._labels)
        gradient = torch.cat([slope.flatten(), bias_slope]).cpu().numpy() / photos
        away = flat[: len(near)] - near
        gradient[: len(near)] += strength * away
        return float(loss) / photos + strength / 2 * float(away @ away), gradient

    def unpack(self, flat: npt.NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
        tensor = torch.from_numpy(flat).to(self._values.device)
        features = self._values.shape[1]
        weight, bias = torch.split(tensor, [self._classes * features, self._classes])
        return weight.reshape(self._classes, features), bias
