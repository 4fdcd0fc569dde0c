"""What the readers of reports ask for, narrowed down to what Muster writes: nothing else may be in a report.

The official schemas allow far more, and not all of them may be passed on; ``make components`` fetches them and holds
the same reports against them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from jsonschema import Draft202012Validator

TEXT = {"type": "string"}
FULL = {"type": "string", "minLength": 1}
LINE = {"type": "integer", "minimum": 1}
ID = {"type": "string", "pattern": "^f-[0-9a-f]{16}$"}
# RFC 3986 by its characters, relative: no scheme, no query.
PATH = {"type": "string", "pattern": r"^(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+$"}


def shape(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these keys and no other."""
    properties = {**required, **optional}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def several(item: Mapping[str, Any], **limits: int) -> dict[str, Any]:
    return {"type": "array", "items": item, **limits}


MESSAGE = shape({"text": FULL})
NOTICE = shape({"level": {"const": "note"}, "message": shape({"text": TEXT})})
PLACE = shape(
    {
        "artifactLocation": shape({"uri": PATH, "uriBaseId": {"const": "%SRCROOT%"}}),
        "region": shape({"startLine": LINE}),
    }
)
# https://docs.oasis-open.org/sarif/sarif/v2.1.0/, and what code scanning needs for showing a result.
RESULT = shape(
    {
        "ruleId": FULL,
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["note", "warning", "error"]},
        "message": MESSAGE,
        "locations": several(shape({"physicalLocation": PLACE}), minItems=1, maxItems=1),
        "partialFingerprints": shape({"musterFinding/v1": ID}),
        "properties": {"type": "object"},
    }
)
RULE = shape({"id": FULL, "shortDescription": MESSAGE})
RUN = shape(
    {
        "tool": shape({"driver": shape({"name": FULL, "version": FULL, "rules": several(RULE)})}),
        "invocations": several(
            shape({"executionSuccessful": {"type": "boolean"}, "toolExecutionNotifications": several(NOTICE)})
        ),
        "automationDetails": shape({"id": FULL}),
        "properties": {"type": "object"},
        "results": several(RESULT, maxItems=5000),
    }
)
SARIF = shape({"$schema": FULL, "version": {"const": "2.1.0"}, "runs": several(RUN, minItems=1, maxItems=1)})
# https://docs.gitlab.com/ci/testing/code_quality/: every key that it calls required.
GITLAB = several(
    shape(
        {
            "description": FULL,
            "check_name": FULL,
            "fingerprint": ID,
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": shape({"path": FULL, "lines": shape({"begin": LINE})}),
        }
    )
)
# https://github.com/reviewdog/reviewdog/tree/master/proto/rdf
RDJSON = shape(
    {
        "source": shape({"name": FULL}),
        "diagnostics": several(
            shape(
                {
                    "message": FULL,
                    "location": shape({"path": FULL}, range=shape({"start": shape({"line": LINE})})),
                    "severity": {"enum": ["ERROR", "WARNING", "INFO"]},
                    "code": shape({"value": FULL}),
                }
            )
        ),
    }
)
SCHEMAS = {
    name: Draft202012Validator(schema) for name, schema in (("sarif", SARIF), ("gitlab", GITLAB), ("rdjson", RDJSON))
}

COUNT = r"\d+"
SUITE = {
    **dict.fromkeys(("name", "package", "hostname"), ".+"),
    **dict.fromkeys(("id", "tests", "failures", "errors", "skipped", "time"), COUNT),
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
}
CASE = {"classname": ".+", "name": ".+", "time": COUNT}


def junit_problems(text: str) -> list[str]:
    """What Ant's reader of JUnit's XML would stumble over; Jenkins's takes all that Ant's does."""
    (suite,) = root = ElementTree.fromstring(text.encode())
    cases = suite.findall("testcase")
    order = ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
    counts = {"tests": len(cases), **{f"{kind}s": len(suite.findall(f"*/{kind}")) for kind in ("failure", "error")}}
    return [
        *_wrong(root, "testsuites", {}),
        *_wrong(suite, "testsuite", SUITE),
        *(problem for case in cases for problem in _wrong(case, "testcase", CASE)),
        *(problem for part in suite.findall("*/*") for problem in _result(part)),
        *["order"] * ([child.tag for child in suite] != order),
        *(name for name, count in counts.items() if suite.get(name) != str(count)),
        *["two results"] * any(len(case) > 1 for case in cases),
    ]


def _result(part: ElementTree.Element) -> Sequence[str]:
    return _wrong(part, part.tag, {"message": ".*", "type": ".+"}) if part.tag in ("failure", "error") else [part.tag]


def _wrong(element: ElementTree.Element, tag: str, wanted: Mapping[str, str]) -> list[str]:
    found = {name: element.get(name, "") for name in {*wanted, *element.keys()}}
    wrong = [name for name, text in found.items() if not re.fullmatch(wanted.get(name, "(?!)"), text.strip(), re.S)]
    return [f"{tag}/{name}" for name in wrong] + [element.tag] * (element.tag != tag)
