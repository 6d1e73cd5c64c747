"""Lay a ``.env`` file for a program that refuses to start without one: from the example file, or empty.

The values come from the environment, so the file and the environment agree. A program that reads only the file also
gets the example's other values, without placeholders.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Final

from preview.detection.plan import Step, Toolchain
from preview.detection.settings.example_files import example_values, find_example_file, is_placeholder
from preview.sources import Sources

_ENDS: Final = r"(?:raise\b|sys\.exit|\bexit\(|\bquit\(|throw\b|process\.exit)"
_FILE: Final = r"""["'`](?:[\w./]*/)?\.env["'`]"""
# Of dotenv's `config`: none, or such as name no other file.
_OPTIONS: Final = rf"(?:\{{(?:[^{{}}]{{0,120}}{_FILE}|(?![^{{}}]{{0,120}}\bpath\b))[^{{}}]{{0,120}}\}})?"
_DEMANDS: Final = re.compile(
    # Python: python-dotenv, python-decouple, and plain checks
    r"raise_error_if_not_found\s*=\s*True"
    rf"|if\s+not\s+(?:\w+\.)?load_dotenv\([^)\n]*\)\s*:\s*{_ENDS}"
    rf"|\b(?P<found>\w+)\s*=\s*(?:\w+\.)?load_dotenv\([^)\n]*\)\s*\n(?:.*\n){{0,4}}?\s*if\s+not\s+(?P=found)\s*:\s*{_ENDS}"
    rf"|\bassert\s[^\n]{{0,120}}{_FILE}"
    rf"|{_FILE}[\s\S]{{0,160}}\b(?:exists|is_file|isfile)\(\)?[\s\S]{{0,160}}?{_ENDS}"
    rf"|\b(?:exists|isfile|existsSync|accessSync)\([^\n]{{0,80}}{_FILE}[\s\S]{{0,160}}?{_ENDS}"
    # Node: dotenv
    rf"|dotenv[\s\S]{{0,40}}\.config\(\s*{_OPTIONS}\s*\)[\s\S]{{0,200}}\.error\b[\s\S]{{0,200}}\b(?:throw\b|process\.exit)"
    r"|process\.loadEnvFile\("
)
_READS: Final = re.compile(
    rf"\bRepositoryEnv\(|\bdotenv_values\(|\b(?:open|read_text|readFileSync)\([^\n]{{0,60}}{_FILE}"
)
# `path = join(here, ".env")`, then `open(path)`
_READS_NAMED: Final = re.compile(
    rf"\b(?P<named>\w{{1,60}})\s{{0,4}}=[^=\n][^=]{{0,160}}?{_FILE}[\s\S]{{0,200}}?\b(?:open|readFileSync)\(\s{{0,4}}(?P=named)\b"
)
_ASKS_FIRST: Final = re.compile(r"exists|is_?file|access")
# A value that a parser would cut is quoted; all others are as programs that read the file themselves expect.
_QUOTED: Final = (
    "def q(v):\n"
    " if v==v.strip() and not re.search(r'[\\n\\r]|\\s#|^[#\\'\\x22]',v): return v\n"
    " return '\"'+v.replace('\\\\','\\\\\\\\').replace('\"','\\\\\"')+'\"' if '\\'' in v else '\\''+v+'\\''\n"
)
_PYTHON: Final = (
    "import os,re,sys\n" + _QUOTED + "open('.env','a').writelines(n+'='+q(os.environ[n])+'\\n' if n in os.environ else "
    "l.strip()+'\\n' for l in open(sys.argv[1],encoding='utf-8') for n in re.findall(r'^(?:export )?(\\w+) *=',l) "
    "if n in os.environ or n in sys.argv[2:])"
)
_SET: Final = (
    "import os,re,sys\n" + _QUOTED + "open('.env','a').writelines("
    "n+'='+q(os.environ[n])+'\\n' for n in sys.argv[1:] if n in os.environ)"
)
_NODE: Final = (
    "const fs=require('fs'),[e,...k]=process.argv.slice(1),q=v=>v===v.trim()&&!/[\\n\\r#]|^['\"`]/.test(v)?v:"
    "['\\'','\"','`'].filter(c=>!v.includes(c)).concat('\\'').slice(0,1).map(c=>c+v+c)[0];"
    "fs.appendFileSync('.env',fs.readFileSync(e,'utf8')"
    ".split('\\n').flatMap(l=>{const n=(/^(?:export )?(\\w+) *=/.exec(l)||[])[1];return !n?[]:n in process.env?"
    "[n+'='+q(process.env[n])]:k.includes(n)?[l.trim()]:[]}).map(l=>l+'\\n').join(''))"
)
_MAX_CHARACTERS: Final = 100_000


def find_env_file_step(
    sources: Sources, files: Iterable[str], directory: str, toolchain: Toolchain, variables: Iterable[str] = ()
) -> tuple[Step, ...]:
    """Return the step that lays ``.env``, if the program demands the file and the project lacks it.

    Args:
        sources: The project's files.
        files: The files that the application loads.
        directory: Where it is started.
        toolchain: Its language.
        variables: Names of the preview's variables. A program that reads only the file gets those that it mentions.
    """
    if sources.has_file(posixpath.normpath(f"{directory}/.env")) or sources.has_file(".env"):
        return ()
    texts = [text for file in files if (text := _text(sources, file))]
    reading = [text for text in texts if _READS.search(text) or _reads_named(text)]
    reads_only = bool(reading)
    if not reads_only and not any(_DEMANDS.search(text) for text in texts):
        return ()
    example = find_example_file(sources, (directory, "."))
    folder = directory if example is None else posixpath.dirname(example) or "."
    program = ("python", "-c") if toolchain is Toolchain.PYTHON else ("node", "-e")
    why = "the sources refuse to start without a .env file"
    if example is None:
        mentioned = [name for name in variables if any(name in text for text in reading)]
        if mentioned and toolchain is Toolchain.PYTHON:
            why = f"the sources read {', '.join(mentioned)} from a .env file, which the project does not have"
            return (Step(".env", (*program, _SET, *mentioned), folder, why),)
        empty = "open('.env','a')" if toolchain is Toolchain.PYTHON else "require('fs').appendFileSync('.env','')"
        return (Step(".env", (*program, empty), folder, f"{why}; it is empty"),)
    values = example_values(sources, (folder,))
    kept = [name for name, one in values.items() if reads_only and not is_placeholder(one.value)]
    script = _PYTHON if toolchain is Toolchain.PYTHON else _NODE
    return (
        Step(
            ".env",
            (*program, script, posixpath.basename(example), *kept),
            folder,
            f"{why}; it is copied from {example}",
        ),
    )


def _reads_named(text: str) -> bool:
    return any(not _ASKS_FIRST.search(match[0]) for match in _READS_NAMED.finditer(text))


def _text(sources: Sources, file: str) -> str:
    said = sources.text(file) if sources.has_file(file) else b""
    return said[:_MAX_CHARACTERS].decode("utf-8", "replace") if b"env" in said or b"Env" in said else ""
