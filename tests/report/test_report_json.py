"""The JSON report and the schema that ships with it."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from kvassay.report.json_report import make_schema, shipped_schema, to_json
from kvassay.report.view import build_view
from kvassay.types import Channel
from report.synthetic_run import SyntheticRun, verdict


def report(run: SyntheticRun) -> dict:
    """A run's JSON report, read back."""
    return json.loads(to_json(build_view(run, verdict(run))))


def validator() -> Draft202012Validator:
    """A validator of the shipped schema, itself checked."""
    Draft202012Validator.check_schema(shipped_schema())
    return Draft202012Validator(shipped_schema())


@pytest.mark.parametrize("channels", [(Channel.RAW,), (Channel.RAW, Channel.PLAIN, Channel.STREAM)])
def test_a_report_validates_against_the_shipped_schema(channels: tuple[Channel, ...]) -> None:
    """What is written is what the schema says."""
    validator().validate(report(SyntheticRun(channels=channels)))


@pytest.mark.parametrize("field", ["schema", "verdict", "arms", "economy", "manifest"])
def test_the_schema_refuses_a_report_with_a_part_missing(field: str) -> None:
    """The schema requires every part: a reader may rely on them."""
    data = report(SyntheticRun())
    del data[field]
    with pytest.raises(ValidationError, match=field):
        validator().validate(data)


def test_the_shipped_schema_is_that_of_the_view_model() -> None:
    """A change of the view model changes the format: the schema file (and, if incompatible, its version) must follow.

    To renew it, write ``json.dumps(make_schema(), indent=1, ensure_ascii=False)`` to report.schema.json.
    """
    assert shipped_schema() == make_schema()


def test_the_report_names_its_schema_and_keeps_the_numbers() -> None:
    """Version first; counts as in the view model."""
    data = report(SyntheticRun())
    assert next(iter(data)) == "schema"
    assert data["schema"] == "kvassay.report/1"
    (bad,) = [arm for arm in data["arms"] if arm["label"] == "q4_0/f16"]
    assert (bad["overall"]["correct"], bad["overall"]["n"]) == (6, 24)
    assert bad["state"] == "degraded"
