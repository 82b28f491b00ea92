"""Random numbers for views: the same bits on every machine, and none depends on another.

Only operations that IEEE 754 rounds exactly are used here and where a view's parameters are made of
them: logarithms and powers differ between machines in their last bits.
"""

import hashlib

import numpy as np


def view_seed(seed: int, sha256: str, view: int) -> int:
    """The 63-bit seed of one view, from what it may depend on and nothing else."""
    digest = hashlib.sha256(f"{seed}:{sha256}:{view}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def uniforms(seeds: np.ndarray, count: int, first: int = 0) -> np.ndarray:
    """Numbers in [0, 1) from place `first` of each seed's sequence: float64 [count, N].

    SplitMix64 (Steele, Lea and Flood 2014), which is integer arithmetic alone; 53 bits a number.
    """
    steps = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = seeds.astype(np.uint64)[:, np.newaxis] + steps
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.asarray((state >> np.uint64(11)).astype(np.float64) / 2.0**53).T


def around_zero(uniform: np.ndarray, reach: float) -> np.ndarray:
    """Numbers in [0, 1) spread over -reach to reach."""
    return np.asarray((2.0 * uniform - 1.0) * reach + 0.0)  # Never -0.0.
