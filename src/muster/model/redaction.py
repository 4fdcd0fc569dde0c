"""Secrets taken out of text, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

# Shorter than any secret that is looked for, so that taking one out never makes room for another without end.
MASK = b"***"
# A value shorter than this is an ordinary word more often than a secret.
SHORTEST_SECRET = 6
_CHUNK = 128 * 1024
_LONGEST_CARRY = 1024 * 1024
_MOST_ROUNDS = 20

# Prefixes as the providers document them; a pattern begins with plain text so that the search for it is fast.
_TOKENS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"sk-[A-Za-z0-9_\-]{16,}",  # Anthropic, OpenAI, OpenRouter, DeepSeek
        rb"sk_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
        rb"rk_(?:live|test)_[A-Za-z0-9]{16,}",
        rb"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
        rb"github_pat_[A-Za-z0-9_]{20,}",
        rb"glpat-[A-Za-z0-9_\-]{16,}",  # GitLab
        rb"AKIA[A-Z0-9]{16}",  # AWS
        rb"ASIA[A-Z0-9]{16}",
        rb"AIza[A-Za-z0-9_\-]{30,}",  # Google
        rb"ya29\.[A-Za-z0-9_.\-]{20,}",
        rb"xox[a-z]-[A-Za-z0-9\-]{10,}",  # Slack
        rb"xapp-[A-Za-z0-9\-]{10,}",
        rb"hf_[A-Za-z0-9]{20,}",  # Hugging Face
        rb"npm_[A-Za-z0-9]{30,}",
        rb"gsk_[A-Za-z0-9]{20,}",  # Groq
        rb"xai-[A-Za-z0-9]{20,}",
        rb"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
        rb"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}+\.eyJ[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]*",  # JSON Web Token
    )
)
# A key that was cut off before its end is taken out too, up to the size of a large one.
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,16384}+"
    rb"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
_PEM_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_URL_USER = re.compile(rb"://([^\s/@\"'<>\\]{1,512}+)@")
_LONG_USER = 20
_BEARER = re.compile(rb"(?i:\b(bearer|basic)[ \t]{1,4})(?=[A-Za-z0-9._~+/=\-]{0,64}[0-9=])([A-Za-z0-9._~+/=\-]{12,})")
_VALUE = rb"""(\\*"[^"\\\n]*|\\*'[^'\\\n]*|[^\s"'\\,;&<>(){}\[\]`|]+)"""
_PAIR = re.compile(
    rb"(?<![A-Za-z0-9_.\-])([A-Za-z_][A-Za-z0-9_.\-]{1,63}+)(?![A-Za-z0-9_.\-])"
    rb"""\\{0,3}+["']?[ \t]{0,4}(?:=>|:=|=|:)[ \t]{0,4}(?:(?i:bearer|basic|token)[ \t]{1,4})?""" + _VALUE
)
_FLAG = re.compile(rb"(?<![A-Za-z0-9_\-])--([A-Za-z][A-Za-z0-9\-]{1,63}+)[ \t]{1,4}(?!-)" + _VALUE)
_HAS_SECRET_WORD = re.compile(rb"(?i)token|key|passw|passphrase|secret|credential|auth|cookie")

_SECRET_PARTS = frozenset(
    {"token", "password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "auth"}
    | {"authorization", "apikey", "cookie", "pat"}
)
# A word after "token" that makes it a number or a kind.
_HARMLESS_AFTER = frozenset(
    {"count", "counts", "limit", "limits", "type", "types", "usage", "budget", "total", "index", "id", "ids", "name"}
    | {"file", "path", "url", "uri", "method", "mode", "required", "enabled", "status", "length", "size", "expires"}
    | {"ttl", "per", "provider", "error", "kind", "class"}
)
_SECRET_BEFORE_KEY = frozenset(
    {"api", "access", "secret", "private", "signing", "encryption", "auth", "ssh", "account", "client", "master"}
    | {"admin", "deploy", "webhook", "license", "service", "app", "application", "shared", "session", "bot"}
)
_HARMLESS_BEFORE_KEY = frozenset(
    {"public", "primary", "foreign", "sort", "cache", "dedup", "partition", "idempotency", "unique", "group", "row"}
)
_PLAIN_VALUES = frozenset({b"", b"true", b"false", b"null", b"none", b"yes", b"no", b"ok", b"missing", b"unknown"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def names_a_secret(name: str) -> bool:
    """Say whether a variable, key or flag of this name holds a secret.

    >>> [names_a_secret(name) for name in ("GITHUB_TOKEN", "api_key", "apiKey", "db.password", "OPENAI_KEY")]
    [True, True, True, True, True]
    >>> [names_a_secret(name) for name in ("tokens_total", "author", "dedup_key", "token_count", "key", "monkey")]
    [False, False, False, False, False, False]
    """
    words = [word for part in re.split(r"[_.\-]+", name) for word in _CAMEL.split(part) if word]
    parts = [word.lower() for word in words]
    for at, part in enumerate(parts):
        before = parts[at - 1] if at else ""
        if part in _SECRET_PARTS and (parts[at + 1] if at + 1 < len(parts) else "") not in _HARMLESS_AFTER:
            return True
        if part == "key" and at + 1 == len(parts) and before:
            if before in _SECRET_BEFORE_KEY:
                return True
            # An environment variable that ends in _KEY.
            if name.isupper() and before not in _HARMLESS_BEFORE_KEY:
                return True
    return False


def secret_values(environ: Mapping[str, str]) -> frozenset[str]:
    """The values in an environment that its names call secret, and those of headers.

    >>> sorted(secret_values({"API_KEY": "abcdef", "HOME": "/home", "OTEL_HEADERS": "a=Bearer%20ghijkl,b=mnopqr"}))
    ['abcdef', 'ghijkl', 'mnopqr']
    """
    found = (secret for name, value in environ.items() for secret in _secrets_in(name, value))
    return frozenset(secret for secret in found if len(secret) >= SHORTEST_SECRET)


class Redactor:
    """Takes known secrets and whatever looks like one out of text; what was redacted stays the same."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        exact: set[bytes] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                exact |= _spellings(secret)
        self._secrets = tuple(sorted(exact, key=lambda value: (-len(value), value)))

    @overload
    def __call__(self, text: str) -> str: ...
    @overload
    def __call__(self, text: bytes) -> bytes: ...
    def __call__(self, text: str | bytes) -> str | bytes:
        """The text without its secrets; the very same object when there is none."""
        if isinstance(text, bytes):
            return self._clean(text)
        raw = text.encode("utf-8", "surrogatepass")
        clean = self._clean(raw)
        return text if clean is raw else clean.decode("utf-8", "surrogatepass")

    def stream(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Redact a long text piece by piece; a secret that lies across pieces is found as well."""
        held = b""
        for chunk in chunks:
            held += chunk
            while len(held) >= _CHUNK and (cut := self._safe_cut(held)):
                yield self._clean(held[:cut])
                held = held[cut:]
        if held:
            yield self._clean(held)

    def _clean(self, data: bytes) -> bytes:
        # What a pattern leaves can complete a secret, and what a secret leaves a pattern; text that was clean
        # needs one round, other text two, and only text made for it more.
        for _ in range(_MOST_ROUNDS):
            before = data
            data = _by_pattern(self._exact(data))
            if data == before:
                return before
        return self._exact(data)

    def _exact(self, data: bytes) -> bytes:
        found = True
        while found:
            found = False
            for secret in self._secrets:
                if secret in data:
                    data = data.replace(secret, MASK)
                    found = True
        return data

    def _safe_cut(self, data: bytes) -> int:
        """Where the text can be divided so that no secret is; 0 to wait for more."""
        cut = data.rfind(b"\n", 0, 4 * _CHUNK) + 1
        if not cut:
            if len(data) < _LONGEST_CARRY:
                return 0
            cut = max(data.rfind(mark, 0, _LONGEST_CARRY) for mark in (b" ", b'"', b",")) + 1 or _LONGEST_CARRY
        for begin in _PEM_BEGIN.finditer(data, max(0, cut - 20_000), cut):
            if data.find(b"-----END", begin.end(), cut) < 0 and len(data) - begin.start() < _LONGEST_CARRY:
                cut = begin.start()
                break
        moved = True
        while moved and cut:
            moved = False
            for secret in self._secrets:
                at = data.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
                if 0 <= at < cut:
                    cut, moved = at, True
        return cut


def _secrets_in(name: str, value: str) -> Iterator[str]:
    if names_a_secret(name):
        yield value
    elif name.endswith("_HEADERS"):
        from urllib.parse import unquote

        # After the name of each header, and after a scheme such as Bearer.
        for one in re.findall(r"[=:][ \t]*([^,\n]+)", value):
            yield from unquote(one).split()[-1:]


def mentions_a_secret(data: bytes) -> bool:
    """Whether a name in the text may be that of a secret; without one, only values that tell themselves are taken out.

    >>> mentions_a_secret(b"author"), mentions_a_secret(b"make test")
    (True, False)
    """
    return _HAS_SECRET_WORD.search(data) is not None


def redact_values(value: Any, redact: Redactor) -> Any:
    """A value of JSON with every text in it redacted, and whatever a name calls secret taken out.

    >>> redact_values({"api_key": "abc", "tokens": 3, "said": ["password=hunter22"]}, Redactor())
    {'api_key': '***', 'tokens': 3, 'said': ['password=***']}
    """
    texts: list[str] = []
    if not _gathered(value, texts):
        return _each_redacted(value, redact)
    # No pattern looks across lines for what is in one of them, so one look at all is enough where all is clean.
    whole = "\n".join(texts)
    return value if redact(whole) == whole else _each_redacted(value, redact)


def _gathered(value: Any, texts: list[str]) -> bool:
    """Gather all texts; False as soon as a name calls one of them secret."""
    match value:
        case str():
            texts.append(value)
        case list():
            return all(_gathered(inner, texts) for inner in value)
        case dict():
            texts += value
            return all(
                not (isinstance(inner, str) and inner and names_a_secret(name)) and _gathered(inner, texts)
                for name, inner in value.items()
            )
        case _:
            pass
    return True


def _each_redacted(value: Any, redact: Redactor) -> Any:
    match value:
        case str():
            return redact(value)
        case list():
            return [_each_redacted(inner, redact) for inner in value]
        case dict():
            return {
                redact(name): MASK.decode()
                if isinstance(inner, str) and inner and names_a_secret(name)
                else _each_redacted(inner, redact)
                for name, inner in value.items()
            }
        case _:
            return value


def _by_pattern(data: bytes) -> bytes:
    if b"PRIVATE KEY" in data:
        data = _PEM.sub(MASK, data)
    for pattern in _TOKENS:
        data = pattern.sub(MASK, data)
    if b"://" in data:
        data = _URL_USER.sub(_without_user, data)
    if _HAS_SECRET_WORD.search(data):
        data = _PAIR.sub(_without_value, data)
        if b"--" in data:
            data = _FLAG.sub(_without_value, data)
    return _BEARER.sub(rb"\1 " + MASK, data)


def _without_user(match: re.Match[bytes]) -> bytes:
    user = match[1]
    if b":" not in user and len(user) < _LONG_USER:
        return match[0]
    return b"://" + MASK + b"@"


def _without_value(match: re.Match[bytes]) -> bytes:
    inner = match[2].lstrip(b"\\").lstrip(b"\"'")
    if inner.lower() in _PLAIN_VALUES or not inner.strip(b"*") or inner.replace(b".", b"").isdigit():
        return match[0]
    if inner[:1] in (b"$", b"%") or not names_a_secret(match[1].decode("ascii")):
        return match[0]
    return match[0][: len(match[0]) - len(inner)] + MASK


def _spellings(secret: str) -> set[bytes]:
    """A secret as it is, and as JSON and URLs write it."""
    plain = secret.encode("utf-8", "surrogatepass")
    return {plain, *_escaped(secret)}


def _escaped(secret: str) -> Iterator[bytes]:
    import json
    from urllib.parse import quote

    for in_json in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        inner = in_json[1:-1]
        yield inner.encode("utf-8", "surrogatepass")
        yield inner.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "surrogatepass")
    yield quote(secret.encode("utf-8", "surrogatepass"), safe="").encode()
