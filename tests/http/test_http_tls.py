"""The service's own certificate: what is wrong with it is said at the start."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from http_h2_kit import Certificate, make_certificate

from preview.cli.client import trusted
from preview.cli.exits import CommandFailed
from preview.core.clock import utc_now
from preview.errors import ConfigurationError
from preview.http.protocol.listening import check_certificate
from preview.http.server import load_config
from preview.settings import Settings, load_settings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


def test_the_settings_files_are_served_with_and_win_over_those_of_hypercorn(
    certificate: Certificate, tmp_path: Path
) -> None:
    file = tmp_path / "hypercorn.toml"
    file.write_text('certfile = "/nowhere/cert.pem"\nkeyfile = "/nowhere/key.pem"\n')
    settings = Settings(data_dir=tmp_path, tls_cert=certificate.cert, tls_key=certificate.key)
    context = load_config(settings, file=file).create_ssl_context()
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConfigurationError, match=r"/nowhere/cert.pem cannot be read for TLS \(No such file"):
        load_config(Settings(data_dir=tmp_path), file=file)


def test_one_file_without_the_other_is_refused(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_TLS_CERT", str(certificate.cert))
    with pytest.raises(ConfigurationError, match=r"PREVIEW_TLS_CERT and PREVIEW_TLS_KEY .*belong together"):
        load_settings()


def test_a_key_of_another_certificate_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path)
    with pytest.raises(ConfigurationError, match="is not the key of"):
        check_certificate(certificate.cert, other.key)


def test_what_is_no_certificate_or_no_key_is_refused(certificate: Certificate, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    with pytest.raises(ConfigurationError, match="holds no certificate in PEM form"):
        check_certificate(nothing, certificate.key)
    with pytest.raises(ConfigurationError, match="cannot be used for TLS"):
        check_certificate(certificate.cert, nothing)


@pytest.mark.parametrize(("days", "said"), [((-3, -1), "expired on"), ((1, 3), "is not valid until")])
def test_a_certificate_out_of_its_time_is_refused(days: tuple[int, int], said: str, tmp_path: Path) -> None:
    begin, end = (utc_now() + timedelta(days=one) for one in days)
    issued = trustme.CA().issue_cert("localhost", not_before=begin, not_after=end)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    with pytest.raises(ConfigurationError, match=said):
        check_certificate(cert, key)


def test_commands_trust_the_authority_that_they_are_given(certificate: Certificate, tmp_path: Path) -> None:
    context = trusted(Settings(data_dir=tmp_path, ca=certificate.ca), None)
    assert any("trustme" in str(one["subject"]) for one in context.get_ca_certs())
    with pytest.raises(CommandFailed, match="cannot be used as a certificate in PEM form"):
        trusted(Settings(data_dir=tmp_path, ca=tmp_path / "none.pem"), None)
