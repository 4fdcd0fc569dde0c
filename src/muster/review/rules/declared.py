"""Which packages a project declares, read from the files that declare them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

_MANIFEST = re.compile(
    r"(?:^|/)(?:pyproject\.toml|setup\.(?:py|cfg)|Pipfile|environment[\w.-]*\.ya?ml|tox\.ini|[\w.-]*requirements[\w.-]*\.(?:txt|in)"
    r"|requirements/[\w./-]+\.(?:txt|in)|package\.json)$"
)
_NAME = re.compile(r"^\s*(?:-\s+)?[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)")
_QUOTED = re.compile(r"""["']([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:[<>=!~;@(].*?)?["']""")
_SCRIPT_TABLES = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
# Import name → package, where the two share no word; from the packages' own documentation.
_PACKAGES = {
    "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python", "sklearn": "scikit-learn", "skimage": "scikit-image",
    "bs4": "beautifulsoup4", "OpenSSL": "pyopenssl", "Crypto": "pycryptodome", "Cryptodome": "pycryptodomex",
    "jwt": "pyjwt", "attr": "attrs", "pkg_resources": "setuptools", "MySQLdb": "mysqlclient",
    "serial": "pyserial", "git": "gitpython", "github": "pygithub", "docx": "python-docx", "pptx": "python-pptx",
    "zmq": "pyzmq", "usb": "pyusb", "win32api": "pywin32", "win32con": "pywin32", "wx": "wxpython",
    "gi": "pygobject", "nacl": "pynacl", "fitz": "pymupdf", "socks": "pysocks", "lxml_html_clean": "lxml-html-clean",
    "google": "protobuf", "ruamel": "ruamel-yaml", "_pytest": "pytest", "py": "pytest", "IPython": "ipython",
    "mpl_toolkits": "matplotlib", "pylab": "matplotlib", "OpenGL": "pyopengl", "ldap": "python-ldap",
}  # fmt: skip


def is_manifest(path: str) -> bool:
    """Whether a file declares packages.

    >>> is_manifest("requirements/dev.txt"), is_manifest("web/package.json"), is_manifest("notes.txt")
    (True, True, False)
    """
    return _MANIFEST.search(path) is not None


def normal(name: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(path: str, data: bytes) -> frozenset[str]:
    """The packages that a file declares; empty when it cannot be read."""
    text = data.decode("utf-8", "replace")
    base = path.rpartition("/")[2]
    try:
        if base == "package.json":
            document = json.loads(text)
            own = [str(document["name"])] if isinstance(document.get("name"), str) else []
            return frozenset([*own, *(name for table in _SCRIPT_TABLES for name in document.get(table) or ())])
        if base in ("pyproject.toml", "Pipfile"):
            return frozenset(map(normal, _from_toml(tomllib.loads(text))))
    except (ValueError, AttributeError, TypeError):
        return frozenset()
    if base == "setup.py":
        return frozenset(map(normal, _QUOTED.findall(text)))
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("#", "-r", "--", "[")))
    return frozenset(normal(found[1]) for line in lines if (found := _NAME.match(line)))


def _from_toml(document: Mapping[str, Any]) -> Iterator[str]:
    """Names wherever a table or list is called something with requirements; more rather than fewer."""
    for key, value in document.items():
        wanted = "depend" in key or "require" in key or key in ("packages", "dev-packages", "install_requires")
        if isinstance(value, Mapping):
            if wanted:
                yield from (name for name in value if isinstance(name, str))
                for part in value.values():
                    yield from _names(part)
            yield from _from_toml(value)
        elif wanted:
            yield from _names(value)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, Mapping):
                    yield from _from_toml(part)
    name = document.get("name")
    if isinstance(name, str):
        yield name


def _names(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (found[1] for part in value if isinstance(part, str) and (found := _NAME.match(part)))


def provides(module: str, packages: frozenset[str]) -> bool:
    """Whether one of the packages is where a module comes from, as far as their names say.

    >>> provides("yaml", frozenset({"pyyaml"})), provides("dateutil", frozenset({"python-dateutil"}))
    (True, True)
    >>> provides("numpy", frozenset({"attrs"}))
    False
    """
    top = module.partition(".")[0]
    name = normal(top)
    if name in packages or _PACKAGES.get(top) in packages or f"py{name}" in packages or f"{name}-py" in packages:
        return True
    whole = normal(module)
    # A namespace such as google.cloud.storage, and packages that carry their name among other words.
    bare = name.replace("-", "")
    return any(
        whole.startswith(package)
        or name in package.split("-")
        or package.replace("-", "").removeprefix("python") == bare
        for package in packages
    ) or (top in ("google", "zope", "azure") and any(package.startswith(top) for package in packages))
