"""Mutual proof of the cluster's secret at the start of a connection between two nodes. Pure.

The listening node speaks first. All messages have a fixed size:

1. listening node: ``MAGIC``, its nonce.
2. connecting node: ``MAGIC``, its nonce, ``HMAC(key, "connects", name, both nonces)``.
3. listening node: ``HMAC(key, "listens", name, both nonces)``.

The name is that of the node which the connecting one wants. So a stale address that another node has by now is refused.
Both nonces are new for each connection, so a recorded handshake is worthless, and no clock is compared. Afterwards the
connection is trusted for its life. It is not encrypted: the network between nodes must be private.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from preview.errors import ConfigurationError

MAGIC = b"preview-node/1\r\n"
NONCE_BYTES = 32
PROOF_BYTES = 32
HELLO_BYTES = len(MAGIC) + NONCE_BYTES
ANSWER_BYTES = len(MAGIC) + NONCE_BYTES + PROOF_BYTES
MIN_SECRET_BYTES = 32

_CONNECTS = b"connects"
_LISTENS = b"listens"


class NotANode(Exception):
    """The other side has not proved that it is a node of this cluster, or is another node than the one wanted."""


class NodeKey:
    """The key that proves membership of the cluster.

    Args:
        secret: The cluster's secret, at least ``MIN_SECRET_BYTES`` long.

    Raises:
        ConfigurationError: The secret is too short.
    """

    def __init__(self, secret: str) -> None:
        given = secret.encode("utf-8", "surrogateescape")
        if len(given) < MIN_SECRET_BYTES:
            raise ConfigurationError(
                f"PREVIEW_CLUSTER_SECRET has {len(given)} bytes, at least {MIN_SECRET_BYTES} are needed; "
                "make one with `openssl rand -base64 48`, the same for all nodes.",
                min_bytes=MIN_SECRET_BYTES,
            )
        # The secret itself signs nothing, so it can serve for other purposes too.
        self._key = hmac.digest(given, b"preview: connections between nodes", hashlib.sha256)

    def hello(self) -> bytes:
        """Return the listening node's first message."""
        return MAGIC + secrets.token_bytes(NONCE_BYTES)

    def answer(self, hello: bytes, node: str) -> bytes:
        """Return the connecting node's message.

        Args:
            hello: The listening node's first message.
            node: The node that is wanted.

        Raises:
            NotANode: This is no such message.
        """
        theirs = _after_magic(hello, HELLO_BYTES)
        ours = secrets.token_bytes(NONCE_BYTES)
        return MAGIC + ours + self._proof(_CONNECTS, node, theirs + ours)

    def welcome(self, hello: bytes, answer: bytes, node: str) -> bytes:
        """Check the connecting node's message, and return the listening node's last one.

        Args:
            hello: The first message of this connection.
            answer: The connecting node's message.
            node: The listening node's own name.

        Raises:
            NotANode: The proof is wrong.
        """
        said = _after_magic(answer, ANSWER_BYTES)
        nonces = hello[len(MAGIC) :] + said[:NONCE_BYTES]
        if not hmac.compare_digest(said[NONCE_BYTES:], self._proof(_CONNECTS, node, nonces)):
            raise NotANode("The connecting side has not proved the cluster's secret.")
        return self._proof(_LISTENS, node, nonces)

    def check_welcome(self, hello: bytes, answer: bytes, welcome: bytes, node: str) -> None:
        """Check the listening node's last message.

        Args:
            hello: The listening node's first message.
            answer: The connecting node's own message.
            welcome: The message to check.
            node: The node that is wanted.

        Raises:
            NotANode: The proof is wrong.
        """
        nonces = hello[len(MAGIC) :] + answer[len(MAGIC) : len(MAGIC) + NONCE_BYTES]
        if not hmac.compare_digest(welcome, self._proof(_LISTENS, node, nonces)):
            raise NotANode(f"The listening side has not proved that it is the node {node!r} of this cluster.")

    def _proof(self, role: bytes, node: str, nonces: bytes) -> bytes:
        # Unambiguous: the role has no NUL, and the nonces have a fixed size.
        said = b"%b\0%b\0%b" % (role, node.encode("utf-8", "surrogateescape"), nonces)
        return hmac.digest(self._key, said, hashlib.sha256)


def _after_magic(message: bytes, size: int) -> bytes:
    if len(message) != size or not message.startswith(MAGIC):
        raise NotANode("The other side does not speak the nodes' protocol, or another version of it.")
    return message[len(MAGIC) :]
