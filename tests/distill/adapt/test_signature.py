"""Keys: private to their owner, never overwritten, and refused in a sentence if they are something else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from acula_edge.errors import ExistsError, ToolError, UsageError
from distill.adapt import signature
from distill.adapt.signature import make_key, require_signature, signer


def test_only_the_owner_can_read_a_key(tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key(tmp_path / "key.pem")
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(ExistsError, match="never overwritten"):
        make_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_bytes() == before


def test_signatures_are_ed25519(tmp_path: Path) -> None:
    """RFC 8032, 7.1: the second test vector."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    text = Ed25519PrivateKey.from_private_bytes(secret).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(text)
    sign, public = signer(tmp_path / "key.pem")
    assert public == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    wanted = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert sign(b"\x72").hex() == wanted
    require_signature(b"\x72", bytes.fromhex(wanted), public)


def test_other_files_are_no_keys(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    with pytest.raises(UsageError, match="can not be read"):
        signer(tmp_path / "none.pem")
    (tmp_path / "text.pem").write_text("a key? no")
    with pytest.raises(UsageError, match="is not a private key"):
        signer(tmp_path / "text.pem")
    other = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ec.pem").write_bytes(other)
    with pytest.raises(UsageError, match="is not an Ed25519 key"):
        signer(tmp_path / "ec.pem")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(signature, "find_spec", lambda _name: None)
    with pytest.raises(ToolError, match=r"pip install 'acula-edge\[adapt\]'"):
        make_key(tmp_path / "key.pem")
