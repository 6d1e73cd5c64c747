"""Key files that a program reads and its repository leaves out: the preview makes them, as the README does."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from detection_kit import FASTAPI, write

from preview.detection import Step, detect

RSA = ("openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out")
ED = ("openssl", "genpkey", "-quiet", "-algorithm", "ed25519")
EC = ("openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out")
SETTINGS = (
    "from pathlib import Path\nfrom pydantic import BaseModel\nBASE_DIR = Path(__file__).parent.parent\n"
    "class Auth(BaseModel):\n    private_key_path: Path = BASE_DIR / 'certs' / 'jwt-private.pem'\n"
    "    public_key_path: Path = BASE_DIR / 'certs' / 'jwt-public.pem'\n    algorithm: str = 'RS256'\n"
)
README = (
    "# Shop\n\n## JWT\n\n```shell\nmkdir certs && cd certs\nopenssl genrsa -out jwt-private.pem 2048\n"
    "openssl rsa -in jwt-private.pem -outform PEM -pubout -out jwt-public.pem\n```\n"
)
EXPRESS = {
    "package.json": '{"scripts": {"start": "node src/app.js"}, "dependencies": {"express": "4"}}',
    "src/app.js": "const app = require('express')();\nrequire('./keys');\napp.listen(3000);\n",
}


def keys(folder: Path, files: dict[str, str]) -> list[Step]:
    return [step for step in detect(write(folder, files)).steps if step.name == "keys"]


def made(folder: Path, files: dict[str, str]) -> list[str]:
    return [step.argv[step.argv.index("-out") + 1] for step in keys(folder, files) if "-out" in step.argv]


def test_keys_that_the_readme_makes(tmp_path: Path) -> None:
    files = {"app/main.py": f"import app.config\n{FASTAPI}", "app/config.py": SETTINGS, "README.md": README}
    steps = keys(tmp_path, files)
    assert [step.argv for step in steps] == [
        ("mkdir", "-p", "certs"),
        (*RSA, "certs/jwt-private.pem"),
        ("openssl", "pkey", "-pubout", "-in", "certs/jwt-private.pem", "-out", "certs/jwt-public.pem"),
    ]
    assert steps[1].why == "README.md makes this file, and app/config.py names it"
    assert not any(step.required for step in steps)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_steps_make_a_pair_of_keys(tmp_path: Path) -> None:
    files = {"main.py": FASTAPI + "K = open('keys/private.pem').read(), open('keys/public.pem').read(), 'ES256'\n"}
    for step in keys(tmp_path, files):
        subprocess.run(step.argv, cwd=tmp_path, check=True)
    public = subprocess.run(
        ["openssl", "pkey", "-in", "keys/private.pem", "-pubout"], cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "keys/public.pem").read_bytes() == public.stdout


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("open('private.pem')", ["private.pem"]),
        ("open(f'{settings.BASE}/keys/private_key.pem')", ["keys/private_key.pem"]),
        ("from x import ROOT\nK = (ROOT / 'keys' / 'jwt.key').read_text()", ["keys/jwt.key"]),
        ("os.path.join(os.path.dirname(__file__), 'keys', 'rsa.key')", ["keys/rsa.key"]),
        ("open('a/jwtRS256.key'), open('a/jwtRS256.key.pub')", ["a/jwtRS256.key", "a/jwtRS256.key.pub"]),
        ("open('a/dev_rsa.pub.pem'), open('a/dev_rsa.pem')", ["a/dev_rsa.pem", "a/dev_rsa.pub.pem"]),
        # A public key alone would fit no private one.
        ("open('public.pem')", []),
        # Certificates, providers' keys, and keys for TLS
        ("ssl(certfile='cert.pem', keyfile='key.pem')", []),
        ("open('ssl/private.key'), open('server.key'), open('apple_private.pem'), open('fullchain.pem')", []),
        ("open('/etc/keys/private.pem'), open('../../private.pem'), open('a/../../private.pem')", []),
        ("open('-private.pem'), open('a b/private.pem'), open('a\\nb/private.pem')", []),
    ],
)
def test_keys_that_no_document_makes(tmp_path: Path, lines: str, found: list[str]) -> None:
    assert made(tmp_path, {"main.py": f"import os\n{FASTAPI}{lines}\n"}) == found


def test_keys_that_are_there_are_kept(tmp_path: Path) -> None:
    files = {"main.py": FASTAPI + "open('private.pem'), open('public.pem')\n", "private.pem": "x"}
    assert made(tmp_path, files) == ["public.pem"]
    assert made(tmp_path, {"public.pem": "x"}) == []


def test_a_public_key_is_that_of_the_private_one_that_is_there(tmp_path: Path) -> None:
    files = {"main.py": FASTAPI + "open('jwt.pem'), open('jwt_public.pem')\n", "jwt.pem": "x"}
    step = next(one for one in keys(tmp_path, files) if "-in" in one.argv)
    assert step.argv[step.argv.index("-in") + 1] == "jwt.pem"
    hidden = {"main.py": FASTAPI + "open('.keys/private.pem'), open('dist/jwt.key')\n"}
    assert made(tmp_path, hidden | {".keys/private.pem": "x", "dist/jwt.key": "x"}) == []


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("openssl ecparam -name prime256v1 -genkey -out private.pem", (*EC[:-2], "ec_paramgen_curve:prime256v1")),
        ("openssl genpkey -algorithm ed25519 -out keys/private.pem", ED),
        ("ssh-keygen -t rsa -b 4096 -m PEM -f private.pem", (*RSA[:-2], "rsa_keygen_bits:4096")),
        ("openssl rand -base64 32 > private.pem", ("openssl", "rand", "-hex")),
    ],
)  # fmt: skip
def test_the_kind_is_that_of_the_document(tmp_path: Path, command: str, argv: tuple[str, ...]) -> None:
    files = {"main.py": FASTAPI + "open('private.pem')\n", "Makefile": f"keys:\n\t{command}\n"}
    (step,) = keys(tmp_path, files)
    assert step.argv[: len(argv)] == argv
    assert step.argv[step.argv.index("-out") + 1] == "private.pem"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("fs.readFileSync(path.join(__dirname, '../keys/private.pem'))", ["keys/private.pem"]),
        ("fs.readFileSync(path.resolve(process.cwd(), 'keys', 'private.key'))", ["keys/private.key"]),
        ("fs.readFileSync('./private.pem')", ["private.pem"]),
        ("fs.readFileSync(`${__dirname}/rsa.private.key`)", ["src/rsa.private.key"]),
        ("https.createServer({key: fs.readFileSync('server.key'), cert: fs.readFileSync('server.cert')})", []),
    ],
)
def test_keys_of_node(tmp_path: Path, lines: str, found: list[str]) -> None:
    assert made(tmp_path, EXPRESS | {"src/keys.js": f"module.exports = {lines};\n"}) == found


def test_keys_that_a_setting_names(tmp_path: Path) -> None:
    files = {
        "main.py": f"import os\n{FASTAPI}K = open(os.environ['JWT_KEY']).read()\n",
        ".env.example": "JWT_KEY=./keys/jwt_private.pem\n",
    }
    assert made(tmp_path, files) == ["keys/jwt_private.pem"]


def test_no_file_keeps_the_reader_busy(tmp_path: Path) -> None:
    many = "".join(f"open('k{number}/private.pem')\n" for number in range(5_000))
    files = {
        "main.py": FASTAPI + many + "x = (" + " / ".join(["a"] * 800) + " / 'private.pem')\n",
        "README.md": "```\n" + "openssl genrsa -out k1/private.pem\ncd ../..\n" * 2_000 + "```\n",
        "a.js": "join(" * 20_000 + "'x.pem'",
    }
    started = time.process_time()
    assert len(made(tmp_path, files)) <= 6
    assert time.process_time() - started < 4
