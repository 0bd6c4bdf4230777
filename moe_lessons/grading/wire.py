"""What passes between the grader and its worker: plain data as JSON, never pickles, of limited size.

A frame is four bytes of length and that much JSON. What the worker sends is a stranger's: whatever is not plain data
in this form is `Malformed`, and nothing else comes of it.
"""

import base64
import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable, Iterator
from json import dumps as to_json  # by name: what a notebook does to the module is then no matter
from json import loads as from_json
from typing import Any

import numpy as np

from moe_lessons.checks.values import Opaque

MOST_BYTES = 16 * 2**20  # of a frame: a million numbers, and more
SEND_SECONDS = 60.0
TURN_SECONDS = 0.25  # the longest that nobody looks at what the other side does meanwhile
KINDS = "biuf"
HEAD = struct.Struct(">I")


class Malformed(Exception):
    """What came is not plain data, or too much of it."""


class Closed(Exception):
    """The other side is gone."""


def encode(value: Any) -> Any:
    """Return plain data (numbers, text, arrays, tuples, lists, dicts, `Opaque`) as what JSON can hold.

    Raises Malformed for anything else.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return {"row": _packed(np.array(value))} if _is_row(value) else [encode(entry) for entry in value]
    if type(value) is tuple:
        return {"tuple": [encode(entry) for entry in value]}
    if type(value) is dict:
        return {"dict": [[encode(key), encode(entry)] for key, entry in value.items()]}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in KINDS:
        return {"array" if isinstance(value, np.ndarray) else "number": _packed(np.asarray(value))}
    if isinstance(value, Opaque):
        return {"opaque": str(value.words)}
    raise Malformed(f"an object of type {type(value).__name__} is no plain data")


def _is_row(value: list) -> bool:
    """Tell whether a list holds numbers of one kind, each as an array without axes: together they take less room."""
    kinds = {entry.dtype if isinstance(entry, np.ndarray) and entry.ndim == 0 else None for entry in value}
    return len(value) > 1 and len(kinds) == 1 and getattr(kinds.pop(), "kind", "") in tuple(KINDS)


def _packed(array: np.ndarray) -> list:
    """Return dtype, shape and bytes of an array; a long double becomes a double."""
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("<"))
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode("ascii")]


def decode(value: Any) -> Any:
    """Return what `encode` was given. Raises Malformed for anything that it does not write."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in _DECODERS:
            return _DECODERS[kind](content)
    raise Malformed("no plain data")


def _tuple(content: Any) -> tuple:
    return tuple(decode(_listed(content)))


def _dict(content: Any) -> dict:
    pairs = [decode(_listed(pair)) for pair in _listed(content)]
    if not all(len(pair) == 2 and isinstance(pair[0], (str, int, float)) for pair in pairs):
        raise Malformed("no dict of plain data")
    return dict(pairs)


def _array(content: Any) -> np.ndarray:
    code, shape, text = _listed(content)
    dtype = np.dtype(code) if isinstance(code, str) and len(code) == 3 else None
    if dtype is None or dtype.kind not in KINDS or not all(type(n) is int and n >= 0 for n in _listed(shape)):
        raise Malformed("no array of numbers")
    return np.frombuffer(base64.b64decode(text, validate=True), dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _row(content: Any) -> list:
    array = _array(content)
    if array.ndim != 1:
        raise Malformed("no row")
    return [np.asarray(number) for number in array]


def _number(content: Any) -> Any:
    return _array(content)[()]


def _opaque(content: Any) -> Opaque:
    opaque = Opaque(None)
    opaque.words = str(content)[:200]
    return opaque


def _listed(content: Any) -> list:
    if not isinstance(content, list):
        raise Malformed("no list")
    return content


_DECODERS = {"tuple": _tuple, "dict": _dict, "array": _array, "row": _row, "number": _number, "opaque": _opaque}


def dumps(message: Any) -> bytes:
    """Return plain data as the bytes of one frame's content."""
    return to_json(encode(message)).encode("ascii")


def loads(content: bytes) -> Any:
    """Return the plain data of one frame's content. Raises Malformed for all that `dumps` does not write."""
    if len(content) > MOST_BYTES:
        raise Malformed("more than fits into a reply")
    try:
        return decode(from_json(content))
    except Malformed:
        raise
    except (ValueError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise Malformed(f"no plain data: {type(error).__name__}") from None


Watch = Callable[[], None]  # called again and again while the other side is waited for; what it raises ends that
Clock = Callable[[], float]  # tells the seconds since the waiting began


def stopwatch() -> Clock:
    """Return a clock that begins now."""
    begin = time.monotonic()
    return lambda: time.monotonic() - begin


def send(channel: socket.socket, message: Any, watch: Watch = lambda: None) -> None:
    """Send one frame. Raises Malformed for too large a one, Closed when nobody reads it in time."""
    content = dumps(message)
    if len(content) > MOST_BYTES:
        raise Malformed("more than fits into a message")
    left = memoryview(HEAD.pack(len(content)) + content)
    try:
        for _ in _turns(channel, SEND_SECONDS, stopwatch(), watch):
            with contextlib.suppress(TimeoutError):
                left = left[channel.send(left) :]
            if not left:
                return
    except OSError as error:
        raise Closed(str(error)) from None


def receive(
    channel: socket.socket, seconds: float = math.inf, watch: Watch = lambda: None, clock: Clock | None = None
) -> Any:
    """Return the next frame. Raises Closed at the end, TimeoutError after `seconds` of the clock, and Malformed."""
    turns = _turns(channel, seconds, clock or stopwatch(), watch)
    (length,) = HEAD.unpack(_exactly(channel, HEAD.size, turns))
    if length > MOST_BYTES:
        raise Malformed("more than fits into a reply")
    return loads(_exactly(channel, length, turns))


def exchange(channel: socket.socket, message: Any) -> Any:
    """Send one frame and return the next, however long that takes: of many small ones each costs less so.

    Raises OSError, struct.error at the end, and Malformed.
    """
    content = dumps(message)
    channel.settimeout(None)
    channel.sendall(HEAD.pack(len(content)) + content)
    (length,) = HEAD.unpack(channel.recv(HEAD.size, socket.MSG_WAITALL))
    return loads(channel.recv(length, socket.MSG_WAITALL))


def _exactly(channel: socket.socket, size: int, turns: Iterator[None]) -> bytes:
    """Return the next `size` bytes."""
    content = bytearray()
    for _ in turns:
        try:
            part = channel.recv(min(size - len(content), 2**16))
        except TimeoutError:
            continue
        except OSError as error:
            raise Closed(str(error)) from None
        if not part and size:
            raise Closed("the end")
        content += part
        if len(content) == size:
            break
    return bytes(content)


def _turns(channel: socket.socket, seconds: float, clock: Clock, watch: Watch) -> Iterator[None]:
    """Give turns to wait for the channel, each a short one. Raises TimeoutError when time is up."""
    while (left := seconds - clock()) > 0:
        watch()
        channel.settimeout(min(left, TURN_SECONDS))
        yield
    raise TimeoutError
