"""Facts as JSON and back: for saved facts, and for cases in tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reaper_ops.core.facts.model import Facts
from reaper_ops.errors import ReaperError


@cache
def _adapter() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)


def dump(facts: Facts) -> dict[str, Any]:
    """Only what is known: fields at their default are left out."""
    plain: dict[str, Any] = _adapter().dump_python(facts, mode="json", exclude_defaults=True)
    return plain


def load(place: str, value: Any) -> Facts:
    """Facts from plain data; `place` names the source in errors."""
    try:
        return _adapter().validate_python(value)
    except ValidationError as exc:
        first = exc.errors()[0]
        path = "/".join(str(part) for part in first["loc"])
        raise ReaperError(f"{place}/{path}", first["msg"], "save the facts again") from None
