"""Numbers as they stand in a picture's words."""

import numpy as np


def number(value: float, spec: str = ".2f") -> str:
    """Format with a real minus sign, and never as minus zero."""
    words = format(value, spec)
    return (words.lstrip("-") if float(words) == 0 else words).replace("-", "−")


def bracketed(value: float, spec: str = ".1f") -> str:
    """Format a factor of a product; negative ones get brackets."""
    words = number(value, spec)
    return f"({words})" if words.startswith("−") else words


def vector(values: np.ndarray) -> str:
    """Write a vector on one line. values: (n,)."""
    return "(" + ", ".join(number(value, ".3g") for value in values) + ")"
