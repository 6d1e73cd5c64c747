"""WebSocket frames by hand, in the manner of autobahn's cases: what a library would not send is what is tested."""

from __future__ import annotations

import struct
from itertools import cycle

import trio

__all__ = ["CASES", "Frame", "frame", "talk"]

Frame = tuple[int, bytes]
MORE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A client's frame (RFC 6455 section 5.2)."""
    size = len(payload)
    bit = 0x80 if masked else 0
    head = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        head += bytes([bit | size])
    else:
        head += struct.pack("!BH", bit | 126, size) if size < 65536 else struct.pack("!BQ", bit | 127, size)
    if not masked:
        return head + payload
    return head + _MASK + bytes(one ^ key for one, key in zip(payload, cycle(_MASK)))


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


def closed(code: int) -> Frame:
    return CLOSE, code.to_bytes(2, "big")


BYE = close(1000)
_FAILURES = (closed(1002), closed(1007))
LARGE = bytes(range(256)) * 300
U = "ü€😀".encode()

# What a client sends, and what comes back from a server that echoes; of a close the code alone.
CASES: dict[str, tuple[bytes, list[Frame]]] = {
    "1 echo of each size": (
        b"".join(frame(TEXT, b"*" * size) for size in (0, 1, 125, 126, 127, 65535, 65536)),
        [(TEXT, b"*" * size) for size in (0, 1, 125, 126, 127, 65535, 65536)],
    ),
    "1 binary is not text": (frame(BINARY, LARGE), [(BINARY, LARGE)]),
    "2 pings, the longest too": (
        frame(PING) + frame(PING, b"\0\xff") + frame(PING, b"x" * 125),
        [(PONG, b""), (PONG, b"\0\xff"), (PONG, b"x" * 125)],
    ),
    "2 a ping that is too long": (frame(PING, b"x" * 126), [closed(1002)]),
    "2 pongs that nobody asked for": (frame(PONG, b"so") + frame(TEXT, b"on"), [(TEXT, b"on")]),
    "3 reserved bits": (frame(TEXT, b"x", reserved=4), [closed(1002)]),
    "4 reserved opcodes": (frame(3, b"x"), [closed(1002)]),
    "4 reserved opcodes of control": (frame(11, b""), [closed(1002)]),
    "5 fragments": (
        frame(TEXT, b"Hel", fin=False) + frame(MORE, b"", fin=False) + frame(MORE, b"lo"),
        [(TEXT, b"Hello")],
    ),
    "5 fragments with a ping in between": (
        frame(TEXT, b"Hel", fin=False) + frame(PING, b"?") + frame(MORE, b"lo"),
        [(PONG, b"?"), (TEXT, b"Hello")],
    ),
    "5 a ping in fragments": (frame(PING, b"?", fin=False) + frame(MORE, b"?"), [closed(1002)]),
    "5 a fragment without a beginning": (frame(MORE, b"x"), [closed(1002)]),
    "5 a beginning within fragments": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), [closed(1002)]),
    "6 utf-8, each byte in a fragment": (
        frame(TEXT, fin=False) + b"".join(frame(MORE, bytes([one]), fin=False) for one in U) + frame(MORE),
        [(TEXT, U)],
    ),
    "6 no utf-8": (frame(TEXT, b"ok\xed\xa0\x80"), [closed(1007)]),
    "6 no utf-8 in the second fragment": (frame(TEXT, b"ok", fin=False) + frame(MORE, b"\xff"), [closed(1007)]),
    "6 half of a character": (frame(TEXT, b"\xe2\x82"), [closed(1007)]),
    "7 a close": (BYE, [closed(1000)]),
    "7 what comes behind a close": (BYE + frame(TEXT, b"x"), [closed(1000)]),
    "7 codes of applications": (close(3000) , [closed(3000)]),
    "7 the last code of applications": (close(4999, b"r" * 123), [closed(4999)]),
    "7 a code that may not be sent": (close(1005), [closed(1002)]),
    "7 a code that is none": (close(999), [closed(1002)]),
    "7 half a code": (frame(CLOSE, b"\x03"), [closed(1002)]),
    "7 a reason that is no utf-8": (close(1000, b"\xff"), [closed(1007)]),
    "frames without a mask": (frame(TEXT, b"x", masked=False), [closed(1002)]),
    "a length written longer than needed": (
        b"\x81\xfe\x00\x01" + _MASK + b"y", [closed(1002)]
    ),
}  # fmt: skip


async def talk(
    address: tuple[str, int], head: bytes, sent: bytes, expected: list[Frame], *, pieces: int = 1 << 20
) -> None:
    """Shake hands, send, read until the connection ends, and compare; of a close the code alone counts.

    Args:
        address: Where.
        head: The handshake.
        sent: What follows it once it is accepted.
        expected: What comes back. Where no close is among it the client closes once all of it has come.
        pieces: Of this many bytes at most, each sent by itself.
    """
    raw = bytearray()
    is_over = expected[-1][0] == CLOSE
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(head)
        while b"\r\n\r\n" not in raw:
            raw += await stream.receive_some()
        assert raw.startswith(b"HTTP/1.1 101 "), bytes(raw)
        del raw[: raw.index(b"\r\n\r\n") + 4]
        try:
            for at in range(0, len(sent), pieces):
                await stream.send_all(sent[at : at + pieces])
            async for part in stream:
                raw += part
                if not is_over and len(_frames(bytes(raw))) >= len(expected):
                    is_over = True
                    expected = [*expected, closed(1000)]
                    await stream.send_all(BYE)
        except trio.BrokenResourceError:
            pass  # it closes upon what it does not want to read
    got = _frames(bytes(raw))
    # RFC 6455 section 7.1.7: whoever fails the connection should say why, and need not.
    assert got == expected or (expected[-1] in _FAILURES and got == expected[:-1]), (got, expected)


def _frames(raw: bytes) -> list[Frame]:
    """Messages and control frames of a server, as far as they are whole."""
    found: list[Frame] = []
    message: Frame | None = None
    while len(raw) > 1:
        fin, opcode, size, begin = raw[0] >> 7, raw[0] & 15, raw[1], 2
        assert not raw[0] & 0x70
        assert size < 128
        if size > 125:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(raw[2:begin], "big")
        payload, raw = raw[begin : begin + size], raw[begin + size :]
        if len(payload) < size:
            break
        if opcode >= CLOSE:
            found.append((opcode, payload[:2] if opcode == CLOSE else payload))
            continue
        message = (opcode, payload) if message is None else (message[0], message[1] + payload)
        if fin:
            found.append(message)
            message = None
    return found
