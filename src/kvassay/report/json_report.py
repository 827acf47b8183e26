"""The JSON report: the whole view model under a versioned JSON Schema that ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files

from pydantic import TypeAdapter

from kvassay.report.view import SCHEMA, View
from kvassay.types import JsonObject

_VIEW = TypeAdapter(View)


def to_json(view: View) -> str:
    """The report as JSON text. Field names, meanings and units are those of the view model's classes."""
    return json.dumps(_VIEW.dump_python(view, mode="json"), indent=1, allow_nan=False)


def shipped_schema() -> JsonObject:
    """The JSON Schema (draft 2020-12) that ships as ``report.schema.json``."""
    schema: JsonObject = json.loads(files("kvassay.report").joinpath("report.schema.json").read_text("utf-8"))
    return schema


def make_schema() -> JsonObject:
    """The JSON Schema of the view model as it is now. It must equal the shipped one: where it differs, the format
    has changed, and with it its version.
    """
    head: JsonObject = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "kvassay report",
    }
    return head | {k: v for k, v in _VIEW.json_schema(mode="serialization").items() if k != "title"}
