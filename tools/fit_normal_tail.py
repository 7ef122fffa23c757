"""Fits the polynomial of `exp::normal` in crates/kernels/src/exp.rs: the upper tail of the normal distribution over its density.

usage: fit_normal_tail.py      (needs mpmath)

(1 - P(x)) / p(x) = t Q(t), t = 1 / (1 + x/2), for x from 1.2 to 7, beyond which the tail is below 2e-12. Q is interpolated at
the Chebyshev points of that interval of t, rounded to single precision, and compared at many points.
"""

import struct

import mpmath

DEGREE = 5
START, END = (1 / (1 + mpmath.mpf(x) / 2) for x in ("7", "1.2"))


def ratio(t):
    """(1 - P(x)) / (p(x) t)."""
    x = 2 * (1 / t - 1)
    return mpmath.sqrt(mpmath.pi / 2) * mpmath.erfc(x / mpmath.sqrt(2)) * mpmath.exp(x * x / 2) / t


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def main():
    mpmath.mp.dps = 40
    angles = [mpmath.pi * (2 * i + 1) / (2 * DEGREE + 2) for i in range(DEGREE + 1)]
    points = [START + (END - START) * (1 + mpmath.cos(angle)) / 2 for angle in angles]
    powers = mpmath.matrix([[t**j for j in range(DEGREE + 1)] for t in points])
    exact = mpmath.lu_solve(powers, mpmath.matrix([ratio(t) for t in points]))
    rounded = [single(float(c)) for c in exact]
    for name, coefficients in (("exact", list(exact)), ("single precision", rounded)):
        grid = (START + (END - START) * i / 4000 for i in range(4001))
        off = max(abs(mpmath.polyval(coefficients[::-1], t) / ratio(t) - 1) for t in grid)
        print(f"{name}: off by {mpmath.nstr(off, 3)} of itself")
    for power, coefficient in enumerate(rounded):
        print(f"t^{power}: {coefficient:.9g}")


if __name__ == "__main__":
    main()
