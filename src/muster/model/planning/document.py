"""Opening a Markdown file that a person wrote, so that what is wrong with the file itself is said in one way."""

from __future__ import annotations

from muster.model.planning.fields import Fields
from muster.model.planning.issues import Issues
from muster.model.planning.markdown import Block, Document, NotTextError, decode, read_markdown
from muster.model.planning.yaml_values import YamlMap, YamlProblem, YamlScalar, kind_of, read_yaml
from muster.model.quantities import format_size


def open_document(data: bytes, what: str, max_bytes: int, issues: Issues) -> Document | None:
    """The Markdown of a ``what``; None when it is not even that."""
    if len(data) > max_bytes:
        allowed = f"at most {format_size(max_bytes)}"
        issues.error("TOO_LARGE", f"the {what} has {format_size(len(data))}", 0, allowed=allowed)
        return None
    try:
        document = read_markdown(decode(data))
    except NotTextError as error:
        issues.error("NOT_TEXT", str(error), error.line, hint=error.hint)
        return None
    if document.unclosed == "---":
        issues.error("FRONT_MATTER", "the front matter is never closed", 1, hint="end it with a line '---'")
        return None
    if document.unclosed:
        block = "comment" if document.unclosed == "-->" else "code block"
        hint = f"close it with {document.unclosed[:20]}"
        issues.error("UNCLOSED", f"this {block} is never closed", document.unclosed_line, hint=hint)
    return document


def front_fields(block: Block, issues: Issues) -> Fields | None:
    """The front matter's keys, none where nothing is written; None when it is no mapping."""
    try:
        value = read_yaml(block.text, block.line)
    except YamlProblem as problem:
        issues.error(problem.code, str(problem), problem.line, "front matter", hint=problem.hint)
        return None
    if isinstance(value, YamlScalar) and value.empty:
        value = YamlMap({}, {}, block.line)
    if not isinstance(value, YamlMap):
        message, allowed = f"the front matter is {kind_of(value)}", "lines of 'key: value'"
        issues.error("TYPE", message, value.line, "front matter", allowed=allowed)
        return None
    return Fields(value, "front matter", issues)
