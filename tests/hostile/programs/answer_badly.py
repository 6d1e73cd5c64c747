"""Answers each request by what its path names: malformed, endless, compressed beyond measure, two answers in one."""

import os
import socket
import threading
import zlib

BOMB = zlib.compress(bytes(1 << 26), 9, wbits=31)
HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "/nothing": b"",
    "/garbage": b"\x00\xff" * 2000,
    "/half": HEAD + b"content-length: 100\r\n\r\nhalf",
    "/two-lengths": HEAD + b"content-length: 2\r\ncontent-length: 200\r\n\r\nok",
    "/length-and-chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "/bad-chunks": HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    "/two-answers": HEAD + b"content-length: 2\r\n\r\nok" + HEAD + b"content-length: 6\r\n\r\nsecond",
    "/folded-header": HEAD + b"x-one: a\r\n b\r\nset-cookie: preview_session=mine\r\ncontent-length: 2\r\n\r\nok",
    "/long-head": HEAD + b"x: " + b"y" * 2_000_000 + b"\r\n\r\n",
    "/bomb": HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
    "/many-informations": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000 + HEAD + b"content-length: 2\r\n\r\nok",
}


def answer(connection):
    with connection:
        path = connection.recv(65536).split(b" ")[1:2]
        name = path[0].decode() if path else "/"
        try:
            if name == "/endless":
                connection.sendall(HEAD + b"\r\n")
                while True:
                    connection.sendall(b"x" * 65536)
            connection.sendall(ANSWERS.get(name, HEAD + b"content-length: 2\r\n\r\nok"))
        except OSError:
            return


if __name__ == "__main__":
    server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=100)
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
