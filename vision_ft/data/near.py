"""Near-duplicates: photos that are the same but for their size, their compression or a light edit.

A photo's hash is the sign of the 256 lowest frequencies of its grey values against their median (the perceptual hash of
Zauner, *Implementation and Benchmarking of Perceptual Image Hash Functions*, 2010, with 256 bits in place of 64: on
2,002 photos the nearest two that are not the same photo differ in 84 bits, one saved again at JPEG quality 10 in 20).

The search is in the manner of locality-sensitive hashing (Indyk and Motwani, *Approximate Nearest Neighbors*, STOC
1998): two hashes are compared where they agree in one of several samples of their bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BITS = 256
# The largest number of differing bits at which two photos count as the same. Re-saving and resizing stay below 20, a
# cut of 1 % on each side below 25; photos that have nothing to do with each other lie around 128.
RADIUS = 31

Hashes = npt.NDArray[np.uint8]
Greys = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_SIDE = 64
_LOW = 16
# A sample of 16 bits is the same in two hashes that differ in 31 with probability 0.13, so in at least one of 32
# samples with 0.99; in two that differ in 20 with 0.99995.
_SAMPLES = 32
_SAMPLE_BITS = 16
# In one sample, how many photos after it, in order, a photo is compared with. Only sets in which hundreds of photos
# look alike come near it, and their neighbours in that order bind them together all the same.
_REACH = 256
# A photo with so many near ones is bound to all that look like it, through them if not directly.
_ENOUGH = 16
_CHUNK = 1 << 18


def _cosines() -> npt.NDArray[np.float64]:
    place = np.arange(_SIDE)
    frequency = np.arange(_LOW + 1)[:, None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE))


_DCT = _cosines()


def small_grey(photo: Image.Image) -> Greys:
    """The photo in grey at 64 × 64, which is all that a hash sees; uint8 (64, 64)."""
    # Nine pixels of each cell are enough for frequencies this low, and are had in a third of the time of them all.
    few = photo.resize((3 * _SIDE, 3 * _SIDE), Image.Resampling.NEAREST)
    return np.asarray(few.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX))


def hashes_of(greys: Greys) -> Hashes:
    """The hashes of some photos; of many at once, as one by one the calls take longer than the sums.

    Args:
        greys: uint8 (photos, 64, 64), as :func:`small_grey` gives them.

    Returns:
        uint8 (photos, 32): 256 bits each.
    """
    low = (_DCT @ greys.astype(np.float64) @ _DCT.T)[:, :_LOW, :_LOW].reshape(len(greys), -1)
    # The first is the mean brightness and would only shift the median.
    return np.packbits(low > np.median(low[:, 1:], axis=1, keepdims=True), axis=1)


def near_pairs(hashes: Hashes, radius: int = RADIUS) -> tuple[Ints, Ints, Ints]:
    """Pairs of photos whose hashes differ in few bits.

    Where many look alike, not all pairs of them are among these, but enough to bind them together: equal hashes are
    paired with the first of their kind alone, and no more is looked for once a photo has 16.

    Args:
        hashes: uint8 (photos, 32).
        radius: the most bits that may differ.

    Returns:
        first and second photo of each pair, first < second, in order; and the number of bits that differ.
    """
    unique, first, inverse = _unique(hashes)
    pairs = _pairs_of_different(unique, radius)
    copies = np.flatnonzero(first[inverse] != np.arange(len(hashes)))
    left = np.concatenate([first[pairs[0]], first[inverse[copies]]])
    right = np.concatenate([first[pairs[1]], copies])
    distance = np.concatenate([pairs[2], np.zeros(len(copies), np.int64)])
    left, right = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((right, left))
    return left[order], right[order], distance[order]


def groups_of(count: int, left: Ints, right: Ints) -> Ints:
    """Which photos hang together by pairs.

    Args:
        count: of all photos.
        left: one photo of each pair.
        right: the other one.

    Returns:
        int64 (count,): the number of each photo's group.
    """
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, np.int64)


def _unique(hashes: Hashes) -> tuple[Hashes, Ints, Ints]:
    """Each different hash once, where it first stands, and which of them each photo has."""
    order = np.lexsort(hashes.view(np.uint64).T[::-1])
    ordered = hashes[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    number = np.cumsum(is_new) - 1
    inverse = np.empty(len(order), np.int64)
    inverse[order] = number
    # A stable sort: the first of each run is the first photo.
    return ordered[is_new], order[is_new], inverse


def _pairs_of_different(hashes: Hashes, radius: int) -> tuple[Ints, Ints, Ints]:
    words = np.ascontiguousarray(hashes).view(np.uint64)
    count = len(words)
    # A pair is one number, first * count + second: sorting numbers is many times faster than sorting rows.
    pairs, distances = np.empty(0, np.int64), np.empty(0, np.int64)
    # Each permutation of the bits is cut into samples; the seed is fixed, so a set has the same pairs every time.
    rng = np.random.default_rng(0)
    per_permutation = BITS // _SAMPLE_BITS
    for _ in range(_SAMPLES // per_permutation):
        bits = rng.permutation(BITS)
        for sample in bits.reshape(per_permutation, _SAMPLE_BITS):
            known = np.bincount(np.concatenate([pairs // count, pairs % count]), minlength=count)
            more, far = _pairs_of_sample(words, _keys(hashes, sample), radius, known)
            # Most pairs are found in many samples; merged at once, they stay few.
            pairs, places = np.unique(np.concatenate([pairs, more]), return_index=True)
            distances = np.concatenate([distances, far])[places]
    return pairs // count, pairs % count, distances


def _keys(hashes: Hashes, sample: Ints) -> npt.NDArray[np.uint16]:
    keys = np.zeros(len(hashes), np.uint16)
    for place, bit in enumerate(sample):
        keys |= ((hashes[:, bit // 8] >> (7 - bit % 8)) & 1).astype(np.uint16) << place
    return keys


def _pairs_of_sample(
    words: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint16], radius: int, known: Ints
) -> tuple[Ints, Ints]:
    """The near ones among photos with the same key, as first * count + second; and how many bits differ.

    A photo that has :data:`_ENOUGH` near ones, counted in ``known``, is held against no more.
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    pairs, distances = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    places = np.arange(len(order))
    for offset in range(1, _REACH + 1):
        places = places[places + offset < len(order)]
        places = places[keys[places] == keys[places + offset]]
        places = places[known[order[places]] < _ENOUGH]
        if not len(places):
            break
        for start in range(0, len(places), _CHUNK):
            here = places[start : start + _CHUNK]
            left, right = order[here], order[here + offset]
            distance = np.bitwise_count(words[left] ^ words[right]).sum(axis=1, dtype=np.int64)
            near = distance <= radius
            left, right = left[near], right[near]
            pairs.append(np.minimum(left, right) * len(words) + np.maximum(left, right))
            distances.append(distance[near])
            known[left] += 1
    return np.concatenate(pairs), np.concatenate(distances)
