"""A grid on which sums of products of coordinates are exact in float64, so that distances are exact integers.

Coordinates are rounded to multiples of a power of two, chosen so that no sum of products reaches 2**53: whatever order
a BLAS library, its threads or a block size adds them in, the result is the same integer. Equal vectors are at distance
0 and ties stay ties. The step is at most 2**-24 of the longest vector's norm: for norms of like size that is the
precision of float32, but one vector a hundred thousand times as long as the others blurs these. Whole numbers, such as
pixels, are not rounded at all while norms stay below 2**25.
"""

import numpy as np

NORM_BITS = 25  # of the longest vector on the grid: 4·|a·b| + 2·|b|², and |a - b|², stay below 2**53
ROWS = 4096  # converted to float64 at once, where only their norms are wanted


def norm_exponent(vectors: np.ndarray) -> int:
    """The smallest e with |v| < 2**e for all rows; 0 if they are all zero, or none.

    Args:
        vectors: `[N, D]`, real numbers.

    Raises:
        ValueError: a norm is NaN or infinite.

    >>> norm_exponent(np.array([[3.0, 4.0], [0.0, 1.0]]))
    3
    """
    largest = 0.0
    for begin in range(0, len(vectors), ROWS):
        block = vectors[begin : begin + ROWS].astype(np.float64)
        squared = float(np.einsum("ij,ij->i", block, block).max())
        if not np.isfinite(squared):
            raise ValueError("vectors must have finite norms. Received: NaN or infinity")
        largest = max(largest, squared)
    return int(np.frexp(np.sqrt(largest))[1])


def on_grid(vectors: np.ndarray, exponent: int) -> np.ndarray:
    """The rows times 2**`exponent`, rounded to whole numbers: float64 `[N, D]`.

    Args:
        vectors: `[N, D]`, real numbers that float32 can hold.
        exponent: at most `NORM_BITS - norm_exponent(...)` of all vectors that are to be compared.

    >>> on_grid(np.array([[0.25, -1.0]], np.float32), 3).tolist()
    [[2.0, -8.0]]
    """
    points = vectors.astype(np.float64)
    points *= np.ldexp(1.0, exponent)  # exact, and twice as fast as ldexp of each
    return np.rint(points, out=points)
