"""Certificates for tests, created by the openssl command."""

import subprocess
from pathlib import Path

from tests.harness.programs import get_program


def make_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """Create a self-signed certificate and its key; return their paths."""
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(get_program("openssl"), "req", "-x509", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
