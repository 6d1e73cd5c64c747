"""Make the key files that a program reads and that its repository leaves out: for signed tokens, and random secrets.

A README mostly tells how (``openssl genrsa -out certs/private.pem``). Where it does not, the file's name and the
algorithms that the sources name tell the kind. Certificates are not made: with one, a server would speak TLS only.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from preview.detection.plan import StartPlan, Step
from preview.detection.project_imports import is_aside
from preview.detection.steps.paths import PathReader, joined
from preview.sources import Sources
from preview.sources.written_commands import commands_in_folders

_STEP: Final = "keys"
_ENDS: Final = (".pem", ".key", ".pub")
_WORDS: Final = tuple(end.encode() for end in _ENDS)
_SCRIPTS: Final = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts")
_PROGRAM: Final = re.compile(r"\b(?:openssl|ssh-keygen)\b")
# `path.join(__dirname, "../keys/private.pem")`, `process.cwd() + "/private.pem"`, `"./private.pem"`
_JOINED: Final = re.compile(r"""\b(?:join|resolve)\(([^()\n]{0,120}(?:process\.cwd\(\))?[^()\n]{0,200})\)""")
_QUOTED: Final = re.compile(r"""["'`]([^"'`\n]{1,200}\.(?:pem|key|pub))["'`]""")
_ANY_QUOTED: Final = re.compile(r"""["'`]([^"'`\n]{1,200})["'`]""")
_HERE: Final = re.compile(r"__dirname|import\.meta\.dirname")
_PUBLIC: Final = re.compile(r"pub", re.IGNORECASE)
_PRIVATE: Final = re.compile(r"priv|jwt|rsa|sign|token|auth", re.IGNORECASE)
# Certificates and their keys, and keys that a provider hands out.
_FOREIGN: Final = re.compile(
    r"(?:ssl|tls|https)/|cert\.|chain\.|(?:ca|ssl|tls|https|localhost|server|client|apple|google|alipay|aws|ssh)[\w.-]*$",
    re.IGNORECASE,
)
_EC: Final = re.compile(rb"\bES(?:256|384|512)\b")
_ED25519: Final = re.compile(rb"\b(?:EdDSA|ed25519)\b", re.IGNORECASE)
_CURVES: Final = frozenset(
    {"prime256v1", "secp256r1", "secp384r1", "secp521r1", "secp256k1", "P-256", "P-384", "P-521"}
)
_BITS: Final = frozenset({"2048", "3072", "4096"})
_PATH: Final = re.compile(r"[\w.][\w./@-]{0,199}")
_MOST: Final = 6
_MOST_FILES: Final = 400


@dataclass(frozen=True, slots=True)
class _Key:
    """One key file to make.

    Attributes:
        path: Relative to the project.
        options: The options of ``openssl`` before ``-out``.
        source: The private key's file that a public key comes from; empty for the others.
        why: Sentence for the log.
    """

    path: str
    options: tuple[str, ...]
    why: str
    source: str = ""

    @property
    def step(self) -> Step:
        given = ("-in", self.source) if self.source else ()
        # openssl rand takes the number of bytes last.
        last = self.options[-1:] if self.options[0] == "rand" else ()
        first = self.options[: len(self.options) - len(last)]
        return Step(_STEP, ("openssl", *first, *given, "-out", self.path, *last), ".", self.why)


_RSA: Final = ("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
_PUBLISHED: Final = ("pkey", "-pubout")


def with_key_files(plan: StartPlan, sources: Sources) -> StartPlan:
    """Return the plan with steps that make its missing key files; unchanged if none is missing."""
    wanted = _wanted(plan, sources)
    if not wanted:
        return plan
    told = {key.path: key for key in _told(sources, wanted)}
    keys = [_guessed(path, wanted, sources) for path in wanted if path not in told]
    found = {key.path: key for key in (*told.values(), *keys) if key is not None}
    made = _in_order(found, sources)
    if not made:
        return plan
    folders = sorted({folder for key in made if (folder := posixpath.dirname(key.path))})
    missing = [one for one in folders if not any(name.startswith(f"{one}/") for name in sources.all_names)]
    first = [Step(_STEP, ("mkdir", "-p", *missing), ".", "the folder of the keys")] if missing else []
    return replace(plan, steps=(*first, *(key.step for key in made), *plan.steps))


def _in_order(found: Mapping[str, _Key], sources: Sources) -> list[_Key]:
    """Return the keys, private ones first; a public key whose private key is neither there nor made is left out."""
    private = [key for key in found.values() if not key.source][:_MOST]
    paths = {key.path for key in private}
    public = [key for key in found.values() if key.source in paths or (key.source and _is_there(sources, key.source))]
    return [*private, *public[:_MOST]]


def _wanted(plan: StartPlan, sources: Sources) -> dict[str, str]:
    """Return the missing key files that sources and settings name, with the place that names each."""
    found: dict[str, str] = {}
    for variable in plan.variables.values():
        if variable.value.endswith(_ENDS):
            found.setdefault(joined(plan.directory, variable.value), variable.where or variable.name)
    for file in [name for name in sources.names if not is_aside(name)][:_MOST_FILES]:
        if any(word in sources.text(file) for word in _WORDS):
            for path in _python_paths(PathReader(sources, file, plan.directory), plan.directory):
                found.setdefault(path, file)
    for file in [name for name in sources.with_suffix(*_SCRIPTS) if not is_aside(name)][:_MOST_FILES]:
        text = sources.text(file)
        if any(word in text for word in _WORDS):
            for path in _script_paths(text.decode("utf-8", "replace"), file, plan.directory):
                found.setdefault(path, file)
    return {path: where for path, where in found.items() if _is_usable(path) and not _is_there(sources, path)}


def _is_there(sources: Sources, path: str) -> bool:
    """Return whether the project has the file, in folders too whose sources are not read (``dist``, ``.keys``)."""
    return sources.has_file(path) or os.path.lexists(sources.root / path)


def _is_usable(path: str) -> bool:
    return _PATH.fullmatch(path) is not None and not path.startswith("..") and "/../" not in path


def _python_paths(reader: PathReader, directory: str) -> Iterator[str]:
    """Yield the paths of key files in a Python file; an unknown base counts as the application's folder."""
    inner: set[int] = set()
    for node in reader.nodes:
        if id(node) in inner or not isinstance(node, ast.BinOp | ast.Call | ast.JoinedStr | ast.Constant):
            continue
        path = reader.path(node)
        if path is None and isinstance(node, ast.BinOp | ast.JoinedStr):
            text = posixpath.join(*_texts(node)) if _texts(node) else ""
            path = joined(directory, text.lstrip("/")) if text else None
        if path is not None and path.endswith(_ENDS):
            inner.update(map(id, ast.walk(node)))
            yield path


def _texts(node: ast.expr) -> list[str]:
    """Return the literal parts at the end of ``base / "certs" / "a.pem"`` and ``f"{base}/a.pem"``."""
    if isinstance(node, ast.JoinedStr):
        last = node.values[-1] if node.values else None
        return [last.value] if isinstance(last, ast.Constant) and isinstance(last.value, str) else []
    parts: list[str] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        if not isinstance(node.right, ast.Constant) or not isinstance(node.right.value, str):
            break
        parts.insert(0, node.right.value)
        node = node.left
    return parts


def _script_paths(text: str, file: str, directory: str) -> Iterator[str]:
    """Yield the paths of key files in a JavaScript or TypeScript file."""
    here, seen = posixpath.dirname(file), set()
    for call in _JOINED.finditer(text):
        parts = _ANY_QUOTED.findall(call[1])
        if parts and parts[-1].endswith(_ENDS):
            seen.add(parts[-1])
            yield joined(here if _HERE.search(call[1]) else directory, *(part.lstrip("/") for part in parts))
    for quoted in _QUOTED.findall(text):
        if quoted not in seen:
            base = here if _HERE.search(quoted) else directory
            yield joined(base, re.sub(r"^\$\{[^}]{0,40}\}/?", "", quoted).lstrip("/"))


def _told(sources: Sources, wanted: Mapping[str, str]) -> Iterator[_Key]:
    """Yield the keys that documents and scripts make with ``openssl`` or ``ssh-keygen``, if a program reads them."""
    names = {posixpath.basename(path): path for path in reversed(list(wanted))}
    for command, folder in commands_in_folders(sources, _PROGRAM):
        given = _options(command.words)
        target = given.get("-out") or given.get("-f") or given.get(">")
        if target is None or not {"-aes256", "-aes128", "-des3", "-passout", "-x509"}.isdisjoint(command.words):
            continue
        # What the program reads counts: a document may leave the folder to the reader.
        path = joined(folder, target)
        path = path if path in wanted else names.get(posixpath.basename(target), "")
        options = _made_by(command.words, given)
        if not path or options is None:
            continue
        why = f"{command.file} makes this file, and {wanted[path]} names it"
        source = ""
        if options == _PUBLISHED:
            written = joined(folder, given.get("-in", ""))
            source = written if written in wanted else names.get(posixpath.basename(written), "")
        yield _Key(path, options, why, source)


def _options(words: Sequence[str]) -> dict[str, str]:
    """Return the options with the word that follows each; ``>`` is one of them."""
    spaced = [part for word in words for part in ((">", word[1:]) if word.startswith(">") and word[1:] else (word,))]
    return {word: after for word, after in pairwise(spaced) if word.startswith(("-", ">"))}


def _made_by(words: Sequence[str], given: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the options of ``openssl`` that make what a command makes; None for other commands."""
    at = next((at for at, word in enumerate(words) if _PROGRAM.search(word)), len(words))
    kind = "ssh-keygen" if words[at : at + 1] == ("ssh-keygen",) else "".join(words[at + 1 : at + 2])
    if "-pubout" in words and kind in {"rsa", "pkey", "ec"}:
        return _PUBLISHED
    if kind == "genrsa":
        return _rsa(next((word for word in words if word in _BITS), ""))
    if kind == "ecparam":
        return _ec(given.get("-name", ""))
    if kind in {"genpkey", "ssh-keygen"}:
        algorithm = (given.get("-algorithm") or given.get("-t") or "rsa").lower()
        option = given.get("-pkeyopt", "").rpartition(":")[2]
        if algorithm == "rsa":
            return _rsa(option or given.get("-b", ""))
        return _ec(option) if algorithm in {"ec", "ecdsa"} else _ED if algorithm == "ed25519" else None
    return ("rand", "-hex", "32") if kind == "rand" else None


def _rsa(bits: str) -> tuple[str, ...]:
    return (*_RSA[:-1], f"rsa_keygen_bits:{bits}") if bits in _BITS else _RSA


_ED: Final = ("genpkey", "-quiet", "-algorithm", "ed25519")


def _ec(curve: str) -> tuple[str, ...]:
    chosen = curve if curve in _CURVES else "P-256"
    return ("genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{chosen}")


def _guessed(path: str, wanted: Mapping[str, str], sources: Sources) -> _Key | None:
    """Return the key that the file's name tells; None for certificates and a provider's keys."""
    if _FOREIGN.search(path) or not path.endswith(_ENDS):
        return None
    why = f"{wanted[path]} reads this file, and the project does not have it"
    name = posixpath.basename(path)
    if _PUBLIC.search(name):
        private = _private_names(path)
        known = (one for one in private if one in wanted or _is_there(sources, one))
        return _Key(path, _PUBLISHED, why, next(known, private[0]))
    if not _PRIVATE.search(path):
        return None
    texts = [sources.text(file) for file in (*sources.names, *sources.with_suffix(*_SCRIPTS))[:_MOST_FILES]]
    if any(map(_EC.search, texts)):
        return _Key(path, _ec(""), why)
    return _Key(path, _ED if any(map(_ED25519.search, texts)) else _RSA, why)


def _private_names(path: str) -> list[str]:
    """Return the usual names of the private key beside a public one, the likeliest first."""
    folder, name = posixpath.split(path)
    if name.endswith(".pub"):
        return [path.removesuffix(".pub")]
    other = re.sub(r"(?i)public", "private", re.sub(r"(?i)\bpub\b|pub(?=[._-])", "priv", name))
    # `rsa.pub.pem` beside `rsa.pem`
    plain = re.sub(r"(?i)[._-]pub(?:lic)?(?=[._-])", "", name)
    return [posixpath.join(folder, one) for one in (other, plain)]
