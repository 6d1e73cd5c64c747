from __future__ import annotations

import inspect
import json
import re
from types import ModuleType

import pytest

from preview import errors, people_errors

MODULES = (errors, people_errors)
CLASSES = [
    one
    for module in MODULES
    for _, one in inspect.getmembers(module, inspect.isclass)
    if one.__module__ == module.__name__
]


@pytest.mark.parametrize("module", MODULES, ids=lambda one: one.__name__)
def test_all_lists_each_class(module: ModuleType) -> None:
    assert sorted(one.__name__ for one in CLASSES if one.__module__ == module.__name__) == module.__all__


def test_there_is_one_root() -> None:
    assert all(issubclass(one, errors.PreviewError) for one in CLASSES)


def test_each_class_has_a_code_of_its_own() -> None:
    codes = {one.__name__: one.__dict__.get("code") for one in CLASSES}
    assert [name for name, code in codes.items() if code is None] == []
    assert len(set(codes.values())) == len(CLASSES)


@pytest.mark.parametrize("one", CLASSES, ids=lambda one: one.__name__)
def test_a_code_is_a_word_for_machines_and_each_class_is_described(one: type[errors.PreviewError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", one.code)
    assert one.__doc__


def test_an_error_carries_a_sentence_and_facts() -> None:
    error = errors.LimitReached("No more.", limit=3, previews=[{"preview_id": "preview_a"}])
    assert str(error) == error.message == "No more."
    assert json.dumps(error.details) == '{"limit": 3, "previews": [{"preview_id": "preview_a"}]}'
