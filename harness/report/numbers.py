"""Number formatting: fixed decimals, a typographic minus sign, thin spaces between thousands."""

import math
from collections.abc import Iterable

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
# Separates thousands, as ISO 80000-1 recommends, and numbers from units.
THIN = "\N{NARROW NO-BREAK SPACE}"


def fixed(value: float, digits: int, signed: bool = False) -> str:
    """Write ``value`` with ``digits`` decimals, for reading: ``-1234.5`` becomes ``1 234.5`` with a minus sign.

    From 10^15 on, where float64 knows no decimals, it is written with an exponent: ``1.50e+15``.
    """
    text = f"{abs(value):,.{digits}f}".replace(",", THIN) if abs(value) < 1e15 else f"{abs(value):.{digits}e}"
    # A value that is rounded to zero has no sign.
    if value < 0 and float(f"{value:.{digits}f}") != 0:
        return MINUS + text
    return f"+{text}" if signed and float(f"{value:.{digits}f}") != 0 else text


def digits_for(values: Iterable[float], significant: int = 3, most: int = 4) -> int:
    """Return how many decimals show the middle value of a column with ``significant`` figures."""
    # Zero has no order of magnitude.
    sizes = sorted(abs(value) for value in values if value)
    if not sizes:
        return 0
    # Digits before the decimal point of the median; negative for values below 0.1.
    whole = math.floor(math.log10(sizes[len(sizes) // 2])) + 1
    return max(0, min(most, significant - whole))


def time_digits(*milliseconds: float) -> int:
    """Return how many decimals times have in the terminal: two, and more for those of fast devices."""
    return max(2, digits_for(milliseconds, 4))


def binary_size(count: int) -> str:
    """Write a number of bytes: ``24 GiB``."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{fixed(size, 0 if size >= 10 else 1)}{THIN}{units[0]}"


def spell(value: float) -> str:
    """Write a tick of a logarithmic axis: ``0.5``, ``20``, ``1 000``."""
    return fixed(value, max(0, -math.floor(math.log10(value)))) if value > 0 else "0"
