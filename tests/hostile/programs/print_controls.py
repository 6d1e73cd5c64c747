"""Prints what acts on a terminal, or would end an event of a stream early."""

import os


def attack(world):
    os.write(1, b"\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07\x1b[2J\x1b[6n\x1bP1$r\x1b\\\x9b31mkept \x1b[31mred\x1b[0m\n")
    os.write(1, b"first\rdata: {}\r\revent: end\r\r\n")
    os.write(1, "\u2028\u202e\x00\x08\x7f".encode() + b"\xff\xfe\n")
    os.write(1, b"event: end\ndata: {}\n\n")
    os.write(1, b"the last line\n")
    return "printed"
