"""What kind of file a path names."""

from __future__ import annotations

import re
from functools import lru_cache

_LANGUAGES = {
    "python": ("py", "pyi", "pyw"),
    "javascript": ("js", "jsx", "mjs", "cjs"),
    "typescript": ("ts", "mts", "cts"),
    "tsx": ("tsx",),
    "java": ("java",),
    "kotlin": ("kt", "kts"),
    "go": ("go",),
    "rust": ("rs",),
    "ruby": ("rb",),
    "php": ("php",),
    "c": ("c", "h"),
    "cpp": ("cc", "cpp", "cxx", "hpp"),
    "csharp": ("cs",),
    "swift": ("swift",),
    "scala": ("scala",),
    "bash": ("sh", "bash"),
    "json": ("json",),
    "toml": ("toml",),
    "yaml": ("yml", "yaml"),
}
_BY_END = {end: language for language, ends in _LANGUAGES.items() for end in ends}
_DATA = frozenset({"json", "toml", "yaml"})
_SCRIPT = ("javascript", "typescript", "tsx")
_TEST = re.compile(
    r"(?:^|/)(?:tests?|testing|__tests__|specs?|test[-_]?data|fixtures?|e2e|acceptance|mocks?|dummy\w*)/"
    r"|(?:^|/)(?:test_[^/]*|conftest|tests)\.pyi?$|_test\.(?:py|go|cc|cpp)$|(?:\.|-|_)(?:test|spec)\.[cm]?[jt]sx?$"
    r"|(?:Test|Tests|IT|Spec)\.(?:java|kt|scala|cs|swift)$|_(?:spec|test)\.rb$",
)
_ASIDE = re.compile(
    r"(?:^|/)(?:docs?|examples?|samples?|demos?|bench\w*|scripts?|tools?|tasks|contrib|ci|bin|fuzz\w*|\.[a-z]+)/"
    r"|(?:^|/)(?:setup|noxfile|fabfile|dodo|tasks|conf|manage|fuzz\w*)\.py$|(?:^|/)[\w.-]*config\.[cm]?[jt]s$|\.(?:md|rst|txt)$"
)


def words(text: str) -> tuple[str, ...]:
    """The words of a text, for tables that are read as text."""
    return tuple(text.split())


@lru_cache(maxsize=4096)
def language(path: str) -> str:
    """The language of a file by its name; empty when it is none that is known.

    >>> language("src/app.py"), language("web/app.tsx"), language("README")
    ('python', 'tsx', '')
    """
    return _BY_END.get(path.rpartition("/")[2].rpartition(".")[2].lower(), "")


def is_code(path: str) -> bool:
    """Whether a file is read by a compiler or an interpreter."""
    return language(path) not in _DATA | {""}


def is_script(path: str) -> bool:
    """Whether a file is JavaScript or TypeScript."""
    return language(path) in _SCRIPT


@lru_cache(maxsize=4096)
def is_test(path: str) -> bool:
    """Whether a file belongs to the tests.

    >>> is_test("tests/test_a.py"), is_test("src/latest.py"), is_test("web/app.spec.ts")
    (True, False, True)
    """
    return _TEST.search(path) is not None


@lru_cache(maxsize=4096)
def is_aside(path: str) -> bool:
    """Whether a file stands beside the product: tests, documentation, examples, tools of the developers."""
    return is_test(path) or _ASIDE.search(path) is not None
