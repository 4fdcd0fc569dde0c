"""Secrets in the text of a file: what has a provider's fixed form, and what is assigned to a telling name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from muster.model.findings import Severity
from muster.model.redaction import Redactor, names_a_secret
from muster.review.rules.kinds import is_aside, is_code, is_test, language
from muster.review.rules.spots import Side, Spot

# Forms as the providers document them.
_FORMS = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("an AWS access key", r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])"),
        ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}"),
        ("a GitLab token", r"\bglpat-[A-Za-z0-9_\-]{20,}"),
        ("an Anthropic or OpenAI key", r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_\-]{32,}"),
        ("a Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{20,}"),
        ("a Slack token", r"\bxox[abeoprs]-[0-9A-Za-z\-]{20,}"),
        ("a Slack webhook", r"hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}"),
        ("a Google key", r"\bAIza[A-Za-z0-9_\-]{35}\b"),
        ("a SendGrid key", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{40,}"),
        ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("a PyPI token", r"\bpypi-AgE[A-Za-z0-9_\-]{50,}"),
        ("a Hugging Face token", r"\bhf_[A-Za-z]{34}\b"),
        (
            "a private key",
            r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?!\s*(?:\.\.\.|$)[^\S\n]*[\"'])",
        ),
    )
)
_START = re.compile(
    r"AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|sk-|[sr]k_|xox|slack|AIza|SG\.|npm_|pypi-|hf_|PRIVATE KEY"
)
_NO_SECRET = re.compile(
    r"example|sample|dummy|fake|placeholder|redacted|your[_-]|xxxx|\*\*\*|(.)\1{7}|0123456|12345678|abcdef", re.I
)
_ASSIGNED = re.compile(
    r"""(?<![\w.])["']?([A-Za-z_][\w.\-]{2,60})["']?\s{0,3}(?::\s*\w+\s*)?(?:=|:|=>|:=)\s{0,3}(["'])([^"'\s]{8,200})\2"""
)
_TELLING = re.compile(r"token|key|passw|secret|credential|auth", re.IGNORECASE)
# What is looked up, formatted or named, and not the secret itself.
_REFERENCE = re.compile(
    r"[{}<>$%()]|^https?:|^[a-z]+(?:[-_./][a-z]+)*$|^[A-Z]+(?:_[A-Z]+)*$|^/|\.(?:com|json|pem|key|txt)$"
)
_redact = Redactor()


def secrets(side: Side) -> Iterator[Spot]:
    """Secrets, never quoted: the evidence has them masked."""
    fixed = _START.search(side.text) is not None
    telling = (is_code(side.path) or language(side.path) or side.path.endswith(".env")) and _TELLING.search(side.text)
    if not fixed and not telling:
        return
    for number, line in enumerate(side.lines, 1):
        if fixed and _START.search(line) and (spot := _fixed(side.path, number, line)):
            yield spot
        elif telling and ("'" in line or '"' in line) and not is_test(side.path) and _TELLING.search(line):
            yield from _assigned(side.path, number, line)


def _fixed(path: str, number: int, line: str) -> Spot | None:
    for name, form in _FORMS:
        found = form.search(line)
        if found is None or _NO_SECRET.search(found[0]) or (name != "a private key" and _entropy(found[0]) < 3.0):
            continue
        severity = Severity.BLOCKER
        if is_aside(path):
            # Tests live on keys that were made for them; a provider's token is one all the same.
            severity = Severity.MINOR if name == "a private key" else Severity.MAJOR
        masked = line.replace(found[0], "***")
        return Spot(
            rule="SECURITY_INJECTION",
            severity=severity,
            line=number,
            title=f"What looks like {name} is in the file",
            detail="Take it out, revoke it, and read it from the environment. It stays in the history of the branch.",
            impact="Whoever can read the repository can use it.",
            evidence="" if name == "a private key" else _redact(masked),
            anchor=f"{name} {_digest(found[0])}",
        )
    return None


def _assigned(path: str, number: int, line: str) -> Iterator[Spot]:
    for name, _, value in _ASSIGNED.findall(line):
        if not names_a_secret(name) or _REFERENCE.search(value) or _NO_SECRET.search(value):
            continue
        bits, mixed = _entropy(value), any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
        if bits < 3.0 or not mixed:
            continue
        long = len(value) >= 20 and bits >= 3.7 and not is_aside(path)
        yield Spot(
            rule="SECURITY_INJECTION",
            severity=Severity.MAJOR if long else Severity.MINOR,
            line=number,
            title=f"{name} is set to a fixed value that looks like a secret",
            detail="Read it from the environment or a secret store.",
            impact="Whoever can read the repository can use it.",
            evidence=_redact(line.replace(value, "***")),
            anchor=f"{name} {_digest(value)}",
        )


def _entropy(text: str) -> float:
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _digest(secret: str) -> str:
    from hashlib import sha256

    return sha256(b"muster review" + secret.encode("utf-8", "surrogateescape")).hexdigest()[:12]


RULES = (secrets,)
