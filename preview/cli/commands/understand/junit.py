"""Results as a JUnit report, which CI systems show.

Source: the schema of Jenkins (https://github.com/jenkinsci/xunit-plugin).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

# XML 1.0 section 2.2: all other characters are not allowed, not even escaped.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """A test case.

    Attributes:
        name: Its name.
        elapsed_ms: Its time.
        failure: Sentences, one a line; None if it is met.
        skipped: Sentence about why it was not run; None if it was.
    """

    name: str
    elapsed_ms: float = 0.0
    failure: str | None = None
    skipped: str | None = None


def junit_report(suite: str, cases: Sequence[Case]) -> str:
    """Return the report of one suite."""
    return junit_suites([(suite, cases)])


def junit_suites(suites: Sequence[tuple[str, Sequence[Case]]]) -> str:
    """Return the report of several suites, each with its name."""
    root = ET.Element("testsuites")
    for name, cases in suites:
        _add_suite(root, name, cases)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(root: ET.Element, suite: str, cases: Sequence[Case]) -> None:
    counts = {
        "tests": len(cases),
        "failures": sum(one.failure is not None for one in cases),
        "skipped": sum(one.skipped is not None for one in cases),
        "errors": 0,
    }
    texts = {name: str(count) for name, count in counts.items()}
    total_s = f"{sum(one.elapsed_ms for one in cases) / 1000:.3f}"
    element = ET.SubElement(root, "testsuite", {"name": _clean(suite), "time": total_s, **texts})
    for case in cases:
        attributes = {"classname": _clean(suite), "name": _clean(case.name), "time": f"{case.elapsed_ms / 1000:.3f}"}
        one = ET.SubElement(element, "testcase", attributes)
        if case.failure is not None:
            message = _clean(case.failure)
            ET.SubElement(one, "failure", {"message": message.partition("\n")[0]}).text = message
        elif case.skipped is not None:
            ET.SubElement(one, "skipped", {"message": _clean(case.skipped)})


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
