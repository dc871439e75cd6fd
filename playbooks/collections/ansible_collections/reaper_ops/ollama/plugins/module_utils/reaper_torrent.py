"""Torrents of blobs: BitTorrent v1 metadata of a file, bencoded."""

from __future__ import annotations

import hashlib
import os

SMALLEST, LARGEST, PIECES = 64 << 10, 8 << 20, 2048
BLOCK = 1 << 20


def encoded(value):
    """Bencoding; the keys of a dictionary are sorted as bytes."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encoded, value)) + b"e"
    rows = sorted((key.encode("utf-8"), one) for key, one in value.items())
    return b"d" + b"".join(encoded(key) + encoded(one) for key, one in rows) + b"e"


def piece_length(size):
    """A power of two that gives about a thousand pieces: the more pieces, the closer a swarm gets to its optimum."""
    length = SMALLEST
    while length < LARGEST and length * PIECES < size:
        length *= 2
    return length


def read(path, size):
    """(SHA-256, concatenated SHA-1 of all pieces) of a file, in one pass."""
    length, whole, pieces = piece_length(size), hashlib.sha256(), []
    with open(path, "rb") as file:
        while True:
            piece = hashlib.sha1()
            left = length
            while left:
                block = file.read(min(BLOCK, left))
                if not block:
                    break
                whole.update(block)
                piece.update(block)
                left -= len(block)
            if left == length:
                break
            pieces.append(piece.digest())
    return whole.hexdigest(), b"".join(pieces)


def torrent(name, size, pieces, announce, salt):
    """(the file's bytes, hash of its `info`); private: only peers of our tracker.

    The salt is part of the hash, so knowing the blob is not enough to know the hash, which admits a peer.
    """
    info = {"length": size, "name": name, "piece length": piece_length(size), "pieces": pieces, "private": 1}
    info["source"] = salt
    return encoded({"announce": announce, "info": info}), hashlib.sha1(encoded(info)).hexdigest()


def sha256(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            found.update(block)
    return found.hexdigest()


def named(digest):
    """The blob's file name in a store."""
    return digest.replace(":", "-")


def blob(models_dir, digest):
    return os.path.join(models_dir, "blobs", named(digest))
