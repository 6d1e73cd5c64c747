"""Sample values that a JSON schema accepts. The schema is a stranger's: depth, parts and text are bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from preview.endpoints.patterns import text_for_pattern

_MAX_DEPTH: Final = 12
# Below this depth, and after this many parts, a sample has only what is required.
_FULL_DEPTH: Final = 5
_FULL_PARTS: Final = 300
_MAX_PARTS: Final = 1_000
_MAX_ITEMS: Final = 50
_MAX_TEXT: Final = 2_000
_MAX_GIVEN: Final = 8_000
_SHAPES: Final = (
    ("object", ("properties", "required", "additionalProperties", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "contains")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)
_FORMATS: Final[Mapping[str, str]] = {
    "email": "user@example.com",
    "idn-email": "user@example.com",
    "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "uuid4": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "iri": "https://example.com/",
    "uri-reference": "/path",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "ipvanyaddress": "192.0.2.1",
    "json-pointer": "/name",
    "byte": "c2FtcGxl",
    "regex": "a+",
    "decimal": "1",
}

Schema = Mapping[object, object]
Follow = Callable[[object], object]
"""Resolves a reference; returns None if it leads nowhere."""


class Sampler:
    """Makes one sample.

    Args:
        follow: Resolves local references.
    """

    def __init__(self, follow: Follow) -> None:
        self._follow = follow
        self.parts = 0

    def sample(self, given: object, depth: int = 0, vary: int = 0) -> object:
        """Return a value that the schema accepts, as far as its keywords are known.

        Args:
            given: The schema.
            depth: Number of values around this one.
            vary: Number of earlier samples in the same list, which should differ.
        """
        self.parts += 1
        schema = self._merged(given, 0)
        if depth > _MAX_DEPTH or self.parts > _MAX_PARTS:
            return None
        for value in _named(schema)[vary:] if vary else _named(schema):
            if value is not None and fits(value, schema):
                return value
        for key in ("oneOf", "anyOf"):
            if options := _list(schema.get(key)):
                return self._option(schema, key, options, depth, vary)
        return self._of_type(schema, depth, vary)

    def _merged(self, given: object, depth: int) -> Schema:
        """Return the schema with its reference and the parts of ``allOf`` put into it."""
        followed = self._follow(given)
        schema = dict(_mapping(followed))
        if followed is not given:
            schema |= {key: value for key, value in _mapping(given).items() if key != "$ref"}
        parts = _list(schema.pop("allOf", None))[:_MAX_ITEMS]
        if depth <= _MAX_DEPTH and self.parts <= _MAX_PARTS:
            for part in parts:
                self.parts += 1
                schema = _joined(schema, self._merged(part, depth + 1))
        return schema

    def _option(self, schema: Schema, key: str, options: list[object], depth: int, vary: int) -> object:
        base = {name: value for name, value in schema.items() if name != key}
        discriminator = _mapping(schema.get("discriminator"))
        found: object = None
        for option in options[:_MAX_ITEMS]:
            merged = _joined(base, self._merged(option, 0))
            if merged.get("type") == "null":
                continue
            # One deeper, because options may refer to themselves.
            found = self.sample(merged, depth + 1, vary)
            if isinstance(found, dict):
                self._discriminate(found, discriminator, option)
            if fits(found, merged):
                return found
        return found

    def _discriminate(self, value: dict[str, object], discriminator: Schema, option: object) -> None:
        name, reference = discriminator.get("propertyName"), _mapping(option).get("$ref")
        if not isinstance(name, str) or not isinstance(reference, str):
            return
        mapping = _mapping(discriminator.get("mapping"))
        keys = [key for key, target in list(mapping.items())[:_MAX_ITEMS] if target == reference]
        value[name] = keys[0] if keys else reference.rpartition("/")[2]

    def _of_type(self, schema: Schema, depth: int, vary: int) -> object:
        match type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema, vary)
            case "integer":
                return _number(schema, vary, is_whole=True)
            case "number":
                return _number(schema, vary, is_whole=False)
            case "boolean":
                return vary % 2 == 0
            case "null":
                return None
            case _:
                return {}

    def _object(self, schema: Schema, depth: int) -> dict[str, object]:
        required = [name for name in _list(schema.get("required"))[:_MAX_ITEMS] if isinstance(name, str)]
        properties = _mapping(schema.get("properties"))
        value: dict[str, object] = {}
        is_full = depth < _FULL_DEPTH and self.parts < _FULL_PARTS
        most = _whole(schema.get("maxProperties"))
        for name, part in list(properties.items())[:200]:
            is_needed = name in required
            is_wanted = is_full and not _mapping(part).get("readOnly") and (most is None or len(value) < most)
            if isinstance(name, str) and (is_needed or (is_wanted and self.parts < _FULL_PARTS)):
                value[name] = self.sample(part, depth + 1)
        while most is not None and len(value) > max(most, len(required)):
            value.pop(next(name for name in reversed(value) if name not in required))
        more = schema.get("additionalProperties", True)
        least = max(_whole(schema.get("minProperties")) or 0, 1 if isinstance(more, Mapping) and not properties else 0)
        if most == 0 or "propertyNames" in schema or "patternProperties" in schema:
            least = _whole(schema.get("minProperties")) or 0
        for name in required:
            if name not in value:
                value[name] = self.sample(more, depth + 1)
        for number in range(min(least, _MAX_ITEMS) + len(value)):
            if len(value) >= least or more is False:
                break
            value.setdefault(f"key{number + 1}", self.sample(more, depth + 1))
        return value

    def _array(self, schema: Schema, depth: int) -> list[object]:
        first = [self.sample(part, depth + 1) for part in _list(schema.get("prefixItems"))[:_MAX_ITEMS]]
        items = schema.get("contains", schema.get("items", True))
        least, most = _whole(schema.get("minItems")) or 0, _whole(schema.get("maxItems"))
        is_full = depth < _FULL_DEPTH and self.parts < _FULL_PARTS
        wanted = max(least, 1 if is_full and not first and items not in (True, False, {}) else 0)
        wanted = min(wanted if most is None else min(wanted, most), _MAX_ITEMS)
        is_unique = schema.get("uniqueItems") is True
        while len(first) < wanted and items is not False:
            first.append(self.sample(items, depth + 1, len(first) if is_unique else 0))
        return first


def type_of(schema: Schema) -> str | None:
    """Return the type that a sample should have; None if the schema leaves it open."""
    given = schema.get("type")
    kinds = [kind for kind in (given if isinstance(given, list) else [given]) if isinstance(kind, str)]
    if kinds:
        return next((kind for kind in kinds if kind != "null"), "null")
    return next((kind for kind, keys in _SHAPES if any(key in schema for key in keys)), None)


def fits(value: object, schema: Schema, depth: int = 0) -> bool:
    """Return whether a value agrees with the simple keywords of a schema: its type, bounds and choices."""
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else []
    if kinds and not any(_is_a(value, kind) for kind in kinds) and not (value is None and schema.get("nullable")):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if (enum := _list(schema.get("enum"))) and not any(_same(value, one) for one in enum[:1_000]):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _in_range(value, schema)
    if isinstance(value, str):
        return _has_length(len(value), schema, "Length")
    if isinstance(value, list):
        items = schema.get("items")
        inside = depth > 4 or not isinstance(items, Mapping) or all(fits(one, items, depth + 1) for one in value)
        return _has_length(len(value), schema, "Items") and inside
    if isinstance(value, dict):
        if any(name not in value for name in _list(schema.get("required")) if isinstance(name, str)):
            return False
        parts = _mapping(schema.get("properties"))
        return depth > 4 or all(fits(one, _mapping(parts.get(name)), depth + 1) for name, one in value.items())
    return True


def _is_a(value: object, kind: object) -> bool:
    match kind:
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
        case _:
            return True


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _has_length(length: int, schema: Schema, unit: str) -> bool:
    most = _whole(schema.get(f"max{unit}"))
    return (_whole(schema.get(f"min{unit}")) or 0) <= length and (most is None or length <= most)


def _in_range(value: float, schema: Schema) -> bool:
    low, high, step, open_low, open_high = _bounds(schema)
    exact = _fraction(value)
    if exact is None:
        return False
    is_high_enough = low is None or exact > low or (exact == low and not open_low)
    is_low_enough = high is None or exact < high or (exact == high and not open_high)
    return is_high_enough and is_low_enough and (not step or exact % step == 0)


def _bounds(schema: Schema) -> tuple[Fraction | None, Fraction | None, Fraction | None, bool, bool]:
    """Return low, high, step, and whether low and high are excluded; in the forms of OpenAPI 3.0 and 3.1."""
    low, high = _fraction(schema.get("minimum")), _fraction(schema.get("maximum"))
    open_low, open_high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low_excluded, high_excluded = open_low is True, open_high is True
    if (bound := _fraction(open_low)) is not None and (low is None or bound >= low):
        low, low_excluded = bound, True
    if (bound := _fraction(open_high)) is not None and (high is None or bound <= high):
        high, high_excluded = bound, True
    step = _fraction(schema.get("multipleOf"))
    return low, high, step if step and step > 0 else None, low_excluded, high_excluded


def _number(schema: Schema, vary: int, *, is_whole: bool) -> int | float:
    """Return a number in the bounds: 1 where it fits, else near the lower bound, or below the upper one."""
    low, high, step, open_low, open_high = _bounds(schema)
    step = step or Fraction(1)
    if is_whole and step.denominator != 1:
        step = Fraction(step.numerator)
    start = Fraction(1) if low is None or low < 1 else low
    if high is not None and start > high:
        start = high if low is None else low
    tick = math.ceil(start / step)
    if (low is not None and tick * step <= low and open_low) or (low is not None and tick * step < low):
        tick += 1
    if high is not None and (tick * step > high or (tick * step == high and open_high)):
        tick = math.floor(high / step) - (1 if open_high and (high / step).denominator == 1 else 0)
    found = step * (tick + vary)
    is_outside = (low is not None and found < low) or (low == found and open_low)
    if is_outside and not is_whole and low is not None and high is not None and not schema.get("multipleOf"):
        found = (low + high) / 2
    try:
        return int(found) if found.denominator == 1 else float(found)
    except OverflowError:
        return 1


def _string(schema: Schema, vary: int) -> str:
    least, most = _whole(schema.get("minLength")) or 0, _whole(schema.get("maxLength"))
    pattern, form = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str):
        # An empty text is a blank for the person: the pattern is not simple.
        return text_for_pattern(pattern, least, most) or ""
    known = _FORMATS.get(form, "") if isinstance(form, str) else ""
    if known and _has_length(len(known), schema, "Length"):
        return known
    if form == "binary":
        return ""
    text = f"string{vary + 1}" if vary else "string"
    text = text.ljust(min(least, _MAX_TEXT), "a")
    return text if most is None or len(text) <= most else text[len(text) - most :] if vary else text[:most]


def _named(schema: Schema) -> list[object]:
    """Return the values that the schema names, best first, without huge ones."""
    found: list[object] = []
    if "const" in schema:
        found.append(schema["const"])
    examples = schema.get("examples")
    found += examples[:10] if isinstance(examples, list) else []
    found += [schema[key] for key in ("example", "default") if key in schema]
    found += _list(schema.get("enum"))[:_MAX_ITEMS]
    return [value for value in found if is_small(value)]


def is_small(value: object) -> bool:
    """Return whether a value is short enough to be shown as a sample."""
    waiting, left = [value], _MAX_GIVEN
    while waiting and left > 0:
        one = waiting.pop()
        left -= len(one) if isinstance(one, str) else 20
        if isinstance(one, int) and one.bit_length() > 1_000:
            return False
        if isinstance(one, float) and not math.isfinite(one):
            return False
        if isinstance(one, list | dict):
            if len(one) > left:
                return False
            waiting += [*one, *one.values()] if isinstance(one, dict) else one
    return left > 0 and not _is_deep(value, 0)


def _is_deep(value: object, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        return True
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_deep(one, depth + 1) for one in inside)


def _joined(first: Schema, second: Schema) -> dict[object, object]:
    """Return one schema for values that both accept."""
    joined = {**first, **second}
    both = [key for key in second if key in first]
    for key in both:
        one, other = first[key], second[key]
        if key == "properties":
            joined[key] = {**_mapping(one), **_mapping(other)}
        elif key == "required":
            joined[key] = [*_list(one), *_list(other)][:200]
        elif isinstance(one, int | float) and isinstance(other, int | float) and isinstance(key, str):
            joined[key] = min(one, other) if "max" in key.lower() else max(one, other)
    return joined


def _fraction(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return Fraction(repr(value)) if math.isfinite(value) else None
    return Fraction(value) if value.bit_length() <= 1_000 else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return int(value)


def _mapping(value: object) -> Schema:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
