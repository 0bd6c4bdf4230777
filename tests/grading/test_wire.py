"""Plain data survives the wire as it was; anything else is refused, and nothing of it is carried out."""

import base64
import json
import math
import pickle
import socket
import struct
import threading
from itertools import pairwise

import numpy as np
import pytest

from moe_lessons.checks.values import Opaque
from moe_lessons.grading import wire


def same(a, b):
    """Compare with types, shapes and dtypes; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if isinstance(a, Opaque):
        return a.words == b.words
    return bool(a == b or (a != a and b != b))


PLAIN = [
    None,
    True,
    3,
    -(2**70),
    0.1,
    math.nan,
    -math.inf,
    "Élodie \ud800 \x00",
    [],
    (),
    {},
    [1, (2.0, [None])],
    {"a": (np.arange(3), "b"), 3: {}},
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
    np.array([math.nan, -math.inf, 1e-300]),
    np.zeros((2, 0, 3), np.float16),
    np.array(7, np.uint8),
    np.arange(6).reshape(2, 3).T,
    np.array([True, False]),
    Opaque(object()),
]


@pytest.mark.parametrize("value", PLAIN, ids=range(len(PLAIN)))
def test_plain_data_comes_back_as_it_was(value):
    assert same(wire.loads(wire.dumps(value)), value)


def test_the_comparison_of_this_test_tells_things_apart():
    for a, b in pairwise(PLAIN):
        assert not same(a, b)
    assert not same(np.float32([1]), np.float64([1]))
    assert not same((1,), [1])


def test_what_came_can_be_written_to():
    came = wire.loads(wire.dumps(np.zeros(3)))
    came[0] = 1
    assert came[0] == 1


def test_foreign_byte_order_and_long_doubles_become_native():
    assert wire.loads(wire.dumps(np.array([1.5], ">f8"))).tolist() == [1.5]
    assert wire.loads(wire.dumps(np.array([1.5], np.longdouble))).dtype == np.float64


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, np.array([object()]), np.array(["a"]), b"x", int, [lambda: 0]])
def test_what_is_no_plain_data_is_not_sent(value):
    with pytest.raises(wire.Malformed):
        wire.dumps(value)


def test_a_number_that_pretends_is_not_sent():
    class Equal(float):
        def __eq__(self, other):
            return True

        __hash__ = float.__hash__

    with pytest.raises(wire.Malformed):
        wire.dumps(Equal(1))


DATA = base64.b64encode(bytes(16)).decode()
FORGED = [
    b"",
    b"{",
    b"\xff\xfe",
    pickle.dumps(print),
    b'{"unknown": 1}',
    b'{"array": 1, "tuple": 2}',
    b'{"array": null}',
    b'{"array": ["<f8", [2]]}',
    json.dumps({"array": ["|O8", [2], DATA]}).encode(),
    json.dumps({"array": ["<U2", [2], DATA]}).encode(),
    json.dumps({"array": ["<M8[s]", [2], DATA]}).encode(),
    json.dumps({"array": ["<f8", [3], DATA]}).encode(),
    json.dumps({"array": ["<f8", [-1], DATA]}).encode(),
    json.dumps({"array": ["<f8", [True, 2], DATA]}).encode(),
    json.dumps({"array": ["<f8", [2] + [1] * 100, DATA]}).encode(),
    json.dumps({"array": ["<f8", [2**40, 2**40], DATA]}).encode(),
    json.dumps({"array": ["<f8", [2], DATA + "é"]}).encode(),
    json.dumps({"array": [["<f8"], [2], DATA]}).encode(),
    b'{"tuple": {"a": 1}}',
    b'{"dict": [[1]]}',
    b'{"dict": [[{"tuple": []}, 1]]}',
    b'{"dict": [[[1], 1]]}',
    b"1" * 10_000,
    b"[" * 100_000,
    b'{"tuple": [' * 5_000,
    b'{"tuple": [' * 900 + b"]}" * 900,
    bytes(wire.MOST_BYTES + 1),
]


@pytest.mark.parametrize("content", FORGED, ids=lambda content: repr(content[:40]))
def test_a_forged_frame_is_refused(content):
    with pytest.raises(wire.Malformed):
        wire.loads(content)


def test_frames_pass_through_a_socket_and_its_end_is_noticed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        big = {"values": [np.arange(200_000.0)]}
        sender = threading.Thread(target=wire.send, args=(theirs, big))
        sender.start()
        assert same(wire.receive(ours, 10), big)
        sender.join()
        with pytest.raises(TimeoutError):
            wire.receive(ours, 0.05)
        theirs.sendall(wire.HEAD.pack(100) + b"{")
        with pytest.raises(TimeoutError):
            wire.receive(ours, 0.05)
        theirs.close()
        with pytest.raises(wire.Closed):
            wire.receive(ours, 5)
        with pytest.raises(wire.Closed):
            wire.send(ours, [0] * 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"\0", wire.HEAD.pack(100) + b"{"], ids=["nothing", "a byte", "half a frame"])
def test_while_a_frame_is_not_whole_the_watch_goes_on(sent):
    class Seen(Exception):
        pass

    looks = []

    def watch():
        looks.append(None)
        if len(looks) == 4:
            raise Seen

    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        with pytest.raises(Seen):
            wire.receive(ours, 30, watch)
        looks.clear()
        with pytest.raises(Seen):  # nobody reads it
            wire.send(ours, "x" * 2**22, watch)


def test_bytes_that_drip_do_not_put_the_end_off():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.HEAD.pack(wire.MOST_BYTES))
        with pytest.raises(TimeoutError):
            wire.receive(ours, 0.2, lambda: theirs.sendall(b" "))


def test_a_frame_of_nothing_is_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.HEAD.pack(0))
        with pytest.raises(wire.Malformed):
            wire.receive(ours, 5)


def test_a_frame_that_announces_too_much_is_refused_before_it_is_read():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(wire.HEAD.pack(2**32 - 1))
        with pytest.raises(wire.Malformed):
            wire.receive(ours, 5)


def test_too_large_a_message_is_not_sent():
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(wire.Malformed, match="more than fits"):
        wire.send(ours, "z" * wire.MOST_BYTES)  # with its quotes, more than that


@pytest.mark.parametrize("row", [[1.5, 2.0], [1, 2, 3], [True, False]])
def test_a_row_of_numbers_takes_little_room_and_comes_as_it_was(row):
    long = [np.array(number) for number in row * 1000]
    content = wire.dumps(long)
    assert len(content) < 11 * len(long) + 100
    assert [(type(one), one.dtype, one.tolist()) for one in wire.loads(content)] == [
        (np.ndarray, one.dtype, one.tolist()) for one in long
    ]


def test_a_list_of_several_kinds_is_no_row():
    for mixed in ([np.array(1), np.array(2.0)], [np.array(1), "a"], [np.zeros(2), np.zeros(2)], [np.array(1)]):
        assert b"row" not in wire.dumps(mixed)
    with pytest.raises(wire.Malformed):
        wire.loads(b'{"row": ["<f8", [], "AAAAAAAAAAA="]}')


def test_an_exchange_sends_one_frame_and_waits_for_the_next():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=wire.send, args=(theirs, {"value": np.ones(300_000)}))
        sender.start()
        assert wire.exchange(ours, {"call": 1})["value"].size == 300_000
        sender.join()
        assert wire.receive(theirs, 5) == {"call": 1}
        theirs.close()
        with pytest.raises((OSError, struct.error)):
            wire.exchange(ours, {})
