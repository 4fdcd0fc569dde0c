"""Reports are held against the schemas that their readers publish."""

from __future__ import annotations

import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from jsonschema.validators import validator_for

from muster.model.findings import Review, Verdict
from muster.model.running.state import replace
from muster.review.formats import FORMATS, MAX_SARIF_RESULTS
from tests.components.install import OFFICIAL, SCHEMAS
from tests.model.review_values import REVIEWS, SAMPLE

pytestmark = pytest.mark.components
EMPTY = Review(slug="x", verdict=Verdict.ALLOW)
LARGEST = replace(SAMPLE, findings=SAMPLE.findings * (MAX_SARIF_RESULTS // 2))


def official(name: str) -> Path:
    """The schema, once `make components` has fetched it."""
    place = SCHEMAS / name
    if not place.is_file() or sha256(place.read_bytes()).hexdigest() != OFFICIAL[name][1]:
        pytest.skip(f"{place} is not there; its origin is {OFFICIAL[name][0]}")
    return place


@pytest.mark.parametrize("form", ["sarif", "rdjson"])
def test_a_json_report_is_valid_by_the_official_schema(form: str) -> None:
    schema = json.loads(official(f"{form}.json").read_bytes())
    validator = validator_for(schema)(schema)

    @given(REVIEWS)
    @settings(max_examples=300, deadline=None)
    def check(review: Review) -> None:
        assert [error.message for error in validator.iter_errors(json.loads(FORMATS[form](review)))] == []

    check()
    for review in (EMPTY, SAMPLE, LARGEST):
        assert [error.message for error in validator.iter_errors(json.loads(FORMATS[form](review)))] == []
    assert list(validator.iter_errors({"version": "9", "diagnostics": 1, "runs": 1})) != []


@pytest.mark.parametrize("schema", ["junit-ant.xsd", "junit-jenkins.xsd"])
def test_a_junit_report_is_valid_by_the_schemas_of_its_readers(schema: str, tmp_path: Path) -> None:
    if shutil.which("xmllint") is None:
        pytest.skip("xmllint is not installed")
    place, count = official(schema), 0

    @given(REVIEWS)
    @settings(max_examples=300, deadline=None)
    def collect(review: Review) -> None:
        nonlocal count
        count += 1
        (tmp_path / f"{count}.xml").write_text(FORMATS["junit"](review), encoding="utf-8")

    collect()
    for review in (EMPTY, SAMPLE, LARGEST):
        collect.hypothesis.inner_test(review)
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(FORMATS["junit"](SAMPLE).replace("testcase", "case"), encoding="utf-8")

    ran = subprocess.run(
        ["xmllint", "--noout", "--huge", "--schema", str(place), *map(str, sorted(tmp_path.glob("*.xml")))],
        capture_output=True,
        text=True,
    )

    invalid = [line for line in ran.stderr.splitlines() if not line.endswith(" validates")]
    assert invalid != []
    assert [line for line in invalid if not line.startswith(str(wrong))] == []
