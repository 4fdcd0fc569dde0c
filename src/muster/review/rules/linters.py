"""Reads what other linters say: SARIF 2.1.0 and the Reviewdog Diagnostic Format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from muster.model.errors import InputError
from muster.model.findings import Severity
from muster.review.rules.spots import Spot

# A linter's error weighs as a finding of ours would by default; nothing from outside blocks by itself.
_SARIF = {"error": Severity.MAJOR, "warning": Severity.MINOR, "note": Severity.SUGGESTION, "none": Severity.SUGGESTION}
_RDJSON = {"ERROR": Severity.MAJOR, "WARNING": Severity.MINOR, "INFO": Severity.SUGGESTION}
_SECURITY = ("security", "cwe", "owasp", "injection")


def read_report(data: bytes) -> Iterator[tuple[str, Spot]]:
    """Paths and spots of a report, SARIF or RDJSON, with one document or one diagnostic per line.

    Raises:
        InputError: it is neither.
    """
    try:
        text = data.decode("utf-8-sig")
        lines = [text] if text.lstrip()[:1] != "{" or "\n{" not in text.strip() else text.splitlines()
        documents = [json.loads(part) for part in lines if part.strip()]
        for document in documents:
            if "runs" in document:
                yield from _sarif(document)
            elif "diagnostics" in document:
                source = document.get("source", {}).get("name", "linter")
                for row in document["diagnostics"]:
                    yield _diagnostic(row, source)
            elif "message" in document and "location" in document:
                yield _diagnostic(document, "linter")
            else:
                raise InputError("A linter's report is neither SARIF (runs) nor RDJSON (diagnostics).")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"A linter's report cannot be read as SARIF or RDJSON: {error!r}"[:300]) from error


def _sarif(document: dict[str, Any]) -> Iterator[tuple[str, Spot]]:
    for run in document["runs"]:
        driver = run["tool"]["driver"]
        rules = {rule["id"]: rule for rule in driver.get("rules", ())}
        for result in run.get("results") or ():
            name = result.get("ruleId") or result.get("rule", {}).get("id") or "?"
            rule = rules.get(name, {})
            level = result.get("level") or rule.get("defaultConfiguration", {}).get("level", "warning")
            for location in result.get("locations", ())[:1]:
                place = location["physicalLocation"]
                uri = unquote(urlsplit(place["artifactLocation"]["uri"]).path).removeprefix("./")
                tags = " ".join(map(str, rule.get("properties", {}).get("tags", ())))
                line = int(place.get("region", {}).get("startLine", 0))
                words = result["message"].get("text", "")
                yield uri, _spot(driver["name"], name, tags, line, words, _SARIF.get(level, Severity.MINOR))


def _diagnostic(row: dict[str, Any], source: str) -> tuple[str, Spot]:
    name = row.get("code", {}).get("value", "?")
    tool = row.get("source", {}).get("name", source)
    line = int(row["location"].get("range", {}).get("start", {}).get("line", 0))
    severity = _RDJSON.get(row.get("severity", ""), Severity.MINOR)
    return row["location"]["path"].removeprefix("./"), _spot(tool, name, "", line, row["message"], severity)


def _spot(tool: str, name: str, tags: str, line: int, words: str, severity: Severity) -> Spot:
    is_security = any(word in f"{name} {tags}".lower() for word in _SECURITY)
    title = f"{tool} {name}: {(words.strip() or name).splitlines()[0]}"
    return Spot(
        rule="SECURITY_INJECTION" if is_security else "MISSING_ERROR_HANDLING",
        severity=severity,
        line=line,
        title=title[:120],
        detail=words[:1200] or title,
        anchor=f"{tool} {name} {words[:200]}",
    )
