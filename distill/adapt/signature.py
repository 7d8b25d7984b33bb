"""Signature: Ed25519 keys (RFC 8032) of a fleet of devices; the private one's owner can change heads."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from acula_edge.errors import ArtifactError, ExistsError, UsageError, missing_extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_OWNER_ONLY = 0o600
_KEY_BYTES = 32


def make_key(out: Path) -> str:
    """Write a new private key (PKCS 8, PEM, readable by its owner alone); the public key in hex.

    Raises ExistsError if `out` exists, ToolError if cryptography is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise ExistsError(f"{out} exists already; a key is never overwritten: choose another --out") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text)
    return _public_hex(key)


def signer(path: Path) -> tuple[Callable[[bytes], bytes], str]:
    """What signs with the private key in `path`, and its public key in hex.

    Raises UsageError if the file is not such a key, ToolError if cryptography is not installed.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise UsageError(f"{path} can not be read: {error.strerror}; make a key by `adapt key`") from None
    except (ValueError, TypeError):
        raise UsageError(f"{path} is not a private key; make one by `acula-edge adapt key`") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key; make one by `acula-edge adapt key`")
    return key.sign, _public_hex(key)


def require_signature(signed: bytes, signature: bytes, public_key: str | None) -> None:
    """Check who made a file; `public_key` in hex, or None where no signature is asked for.

    Raises ArtifactError if the signature is wrong or missing, or if a signed file comes without the key
    that could check it; UsageError if the key is not one.
    """
    if public_key is None:
        if signature:
            raise ArtifactError("the head is signed; give the key that checks it with --public-key")
        return
    _require_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(_key_bytes(public_key))
    if not signature:
        raise ArtifactError("the head is not signed; sign it with `acula-edge adapt run --key`")
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        raise ArtifactError("the head was not signed with the key of --public-key; do not use it") from None


def _key_bytes(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != _KEY_BYTES:
        raise UsageError(f"--public-key is {2 * _KEY_BYTES} hex digits, as `acula-edge adapt key` prints")
    return found


def _public_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _require_cryptography() -> None:
    if find_spec("cryptography") is None:
        raise missing_extra("cryptography", "adapt")
