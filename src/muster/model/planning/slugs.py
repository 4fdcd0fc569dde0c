"""Short names for folders, from titles."""

from __future__ import annotations

import re
import unicodedata

from muster.model.planning.issues import quoted

MAX_SLUG = 48

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def slug_of(title: str, default: str = "project") -> str:
    """Make a slug from a title.

    >>> slug_of("Rate-limit the Log-in endpoint!"), slug_of("Größe messen"), slug_of("你好", "plan")
    ('rate-limit-the-log-in-endpoint', 'grosse-messen', 'plan')
    """
    ascii_text = unicodedata.normalize("NFKD", title[:200].casefold()).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_text))
    if len(slug) > MAX_SLUG:
        # Rather a word less than half a word.
        head = slug[: MAX_SLUG + 1]
        slug = head[: head.rfind("-")] if head.rfind("-") > MAX_SLUG // 2 else slug[:MAX_SLUG]
    return slug.strip("-") or default


def is_slug(text: str) -> bool:
    """Whether a text is a slug.

    >>> is_slug("add-login"), is_slug("../etc"), is_slug("")
    (True, False, False)
    """
    return len(text) <= MAX_SLUG and _SLUG.fullmatch(text) is not None


def slug_problem(text: str) -> tuple[str, str] | None:
    """Why a text is no slug, and what would be one."""
    if is_slug(text):
        return None
    return f"{quoted(text)} is no slug", f"lower-case letters, digits and single dashes, at most {MAX_SLUG} characters"
