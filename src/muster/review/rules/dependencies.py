"""Imports that nothing declares, and packages that are declared for the first time."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence

from muster.model.findings import Severity
from muster.model.record import Record
from muster.review.objects import Objects
from muster.review.rules.declared import declared, is_manifest, normal, provides
from muster.review.rules.kinds import is_aside, is_script, language, words
from muster.review.rules.python import Import, imports
from muster.review.rules.spots import Pair, Side, Spot, normalised

_OLD_STDLIB = frozenset(
    words(
        """
        ConfigParser Queue SocketServer StringIO cStringIO __builtin__ httplib urllib2 urlparse cookielib Cookie
        HTMLParser BaseHTTPServer SimpleHTTPServer Tkinter commands imp asyncore asynchat smtpd distutils cPickle
        thread dummy_thread dummy_threading copy_reg htmlentitydefs tomllib exceptions __main__ _winreg annotationlib
        compression sets md5 sha popen2 _typeshed
        """
    )
)
_NODE = frozenset(
    words(
        """
        assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain
        events fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl
        stream string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib test
        """
    )
)
_SCRIPT_IMPORT = re.compile(
    r"""(?:\bfrom\s+|\brequire\(\s*|\bimport\s*\(\s*|^\s*import\s+)(["'])([^"'\n]+)\1""", re.MULTILINE
)
_LOCK = re.compile(r"(?:^|/)(?:package-lock\.json|(?:yarn|uv|poetry|pdm)\.lock|pnpm-lock\.yaml|Pipfile\.lock)$")
# A name and the lowest version of it: "qs": "~6.9.7", "httpx>=0.22", urllib3==1.26.
_FLOOR = re.compile(r"""\s*[-"']*(@?[A-Za-z][\w./-]*)["']?(?:\[[^\]]*\])?[\s:="'{^~>]*(\d+(?:\.\d+)*)?""")
_ELSEWHERE = re.compile(r"latest|next|file:|link:|workspace:|git[+:@]|https?:|\bpath\b|\burl\b")
_IMPACT = "The import fails wherever the package is not there by chance."
_BARE = re.compile(r"^(?:@[a-z0-9][\w.-]*/)?[a-z0-9][\w.-]*", re.IGNORECASE)


class Wanted(Record, frozen=True):
    """A module that a file imports now and did not import before."""

    pair: Pair
    module: str
    line: int
    soft: bool
    script: bool


def wanted(pair: Pair) -> Iterator[Wanted]:
    """The packages that a change makes a file import."""
    if pair.new is None or pair.change.mode == "120000":
        return
    if language(pair.path) == "python":
        if not any(b"import" in line for line in _touched(pair)):
            return
        seen: dict[str, bool] = {}
        for found in imports(pair.new.tree) if pair.new.tree else ():
            if not _is_standard(found.module) and (found.module not in seen or (seen[found.module] and not found.soft)):
                seen[found.module] = found.soft
                # What was imported softly and is needed now is new too.
                if not any(old.module == found.module and old.soft <= found.soft for old in _imported(pair.old, found)):
                    yield Wanted(pair=pair, module=found.module, line=found.line, soft=found.soft, script=False)
    elif is_script(pair.path):
        before = set(_specifiers(pair.old)) if pair.old else set()
        for name in _specifiers(pair.new):
            if name not in before:
                before.add(name)
                at = re.search(rf"""["']{re.escape(name)}(?:/[^"']*)?["']""", pair.new.text)
                line = pair.new.text.count("\n", 0, at.start()) + 1 if at else 1
                yield Wanted(pair=pair, module=name, line=line, soft=False, script=True)


def _imported(side: Side | None, like: Import) -> Iterator[Import]:
    """The imports of an old text, which is not parsed when it does not even name the module."""
    if side is not None and like.module.rpartition(".")[2] in side.text and side.tree is not None:
        yield from imports(side.tree)


def _is_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in _OLD_STDLIB


def _touched(pair: Pair) -> Iterator[bytes]:
    return (line for hunk in pair.change.hunks for line in hunk.lines if line[:1] in (b"+", b"-"))


def _specifiers(side: Side) -> Iterator[str]:
    for _, name in _SCRIPT_IMPORT.findall(side.text):
        found = _BARE.match(name)
        if found and not name.startswith("node:") and ":" not in name and found[0] not in _NODE:
            yield found[0]


async def undeclared(
    pairs: Sequence[Pair], tree: dict[str, str], objects: Objects, before: str
) -> list[tuple[Pair, Spot]]:
    """A finding for each import that neither the project nor the files that declare packages know."""
    every = [each for pair in pairs for each in wanted(pair)]
    own = _own_modules(tree)
    every = [each for each in every if each.module.partition("/" if each.script else ".")[0] not in own]
    if not every:
        return []
    manifests = [path for path in tree if is_manifest(path) and "node_modules/" not in path]
    blobs = await objects.blobs(tree[path] for path in manifests)
    texts = {path: blobs[tree[path]] for path in manifests if tree[path] in blobs}
    found = []
    for each in every:
        names = _declared_for(each, texts)
        if names is None or (each.module in names if each.script else provides(each.module, names)):
            continue
        # Where another file imported it before, it is not this change that broke it.
        if not await imported_in(objects, before, each.module.partition(".")[0], script=each.script):
            found.append((each.pair, _spot(each, await _is_locked(each, tree, objects))))
    return found


async def _is_locked(each: Wanted, tree: dict[str, str], objects: Objects) -> bool:
    """Whether a lock file has the package: then it comes along with another one, for now."""
    blobs = [blob for path, blob in tree.items() if _LOCK.search(path)]
    name = re.compile(rf"""(?:^|["'/ ]){re.escape(each.module)}(?:["'@:]|$)""".encode(), re.MULTILINE)
    return any(name.search(text) for text in (await objects.blobs(blobs)).values())


def _declared_for(each: Wanted, texts: dict[str, bytes]) -> frozenset[str] | None:
    """The packages that a file may import; None when the project declares nothing at all."""
    kind = [path for path in texts if path.endswith("package.json") == each.script]
    if each.script:
        folder = each.pair.path.rpartition("/")[0]
        kind = [path for path in kind if f"{folder}/".startswith(path.removesuffix("package.json"))]
    if not kind:
        return None
    return frozenset(name for path in kind for name in declared(path, texts[path]))


def _own_modules(tree: Iterable[str]) -> frozenset[str]:
    """Names of files and folders with code anywhere: from where a program starts is not known."""
    names: set[str] = set()
    for path in tree:
        if path.endswith((".py", ".pyi", ".pyx", ".so", ".js", ".ts", ".tsx", ".jsx", ".proto", ".c", ".rs")):
            *folders, name = path.split("/")
            names.update(folders)
            names.add(name.partition(".")[0])
    return frozenset(names)


async def imported_in(objects: Objects, tree: str, module: str, *, script: bool) -> bool:
    """Whether any product file of a tree cannot be loaded without a module."""
    name = re.escape(module)
    # What is indented may be inside of a try or a function.
    pattern = rf"""(from|require\(|import) *["']{name}["'/]""" if script else rf"^(import|from) +{name}([ .,]|$)"
    places = ("*.js", "*.ts", "*.tsx", "*.jsx", "*.mjs", "*.cjs") if script else ("*.py",)
    return any(not is_aside(path) for path in await objects.grep(tree, pattern, places))


def _spot(each: Wanted, locked: bool) -> Spot:
    severity = Severity.MINOR if each.soft or locked else Severity.MAJOR
    if is_aside(each.pair.path):
        severity = Severity.SUGGESTION
    side = each.pair.new
    package = each.module if each.script else each.module.partition(".")[0]
    return Spot(
        rule="UNDECLARED_DEPENDENCY",
        severity=severity,
        line=each.line,
        title=f"{package} is imported and declared nowhere",
        detail=f"Declare {package} where the project lists what it needs, or take the import out.",
        impact="" if each.soft else _IMPACT,
        evidence=side.line(each.line) if side is not None else "",
        anchor=f"import {package}",
    )


async def dropped(pairs: Sequence[Pair], objects: Objects, after: str) -> list[tuple[Pair, Spot]]:
    """A finding for each package that is no longer declared and still imported."""
    manifests = [pair for pair in pairs if is_manifest(pair.path) or is_manifest(pair.change.old_path)]
    olds = {name for pair in manifests if pair.old for name in declared(pair.old.path, pair.old.data)}
    news = frozenset(name for pair in manifests if pair.new for name in declared(pair.path, pair.new.data))
    found = []
    for pair in manifests:
        if pair.old is None or pair.new is None or pair.path.endswith((".py", ".ini")):
            continue
        for name in sorted(declared(pair.old.path, pair.old.data) & (olds - news)):
            script = pair.path.endswith("package.json")
            module = name if script else name.replace("-", "_")
            if not is_aside(pair.path) and await imported_in(objects, after, module, script=script):
                spot = Spot(
                    rule="UNDECLARED_DEPENDENCY",
                    severity=Severity.MAJOR,
                    line=0,
                    title=f"{name} is no longer declared and still imported",
                    detail=f"Declare {name} again, or take out the imports of it.",
                    impact=_IMPACT,
                    anchor=f"dropped {name}",
                )
                found.append((pair, spot))
    return found


def older_dependencies(pair: Pair) -> Iterator[Spot]:
    """Packages that may be of an older version than before."""
    if pair.new is None or pair.old is None or not is_manifest(pair.path) or not pair.change.deleted:
        return
    both = declared(pair.old.path, pair.old.data) & declared(pair.path, pair.new.data)
    texts = [line.decode("utf-8", "replace") for line in _touched(pair)]
    was, now = (dict(map(_least, (text[1:] for text in texts if text[0] == sign))) for sign in "-+")
    for name, least in now.items():
        if least < was.get(name, ()) and {name, normal(name)} & both:
            line = next((n for n in sorted(pair.added) if name in pair.new.line(n)), 0)
            before = ".".join(map(str, was[name]))
            yield Spot(
                rule="NEW_DEPENDENCY",
                severity=Severity.MINOR,
                line=line,
                title=f"{name} may be older than before: the lowest version was {before}",
                detail=f"See that nothing is needed that {name} {before} mended, or ask for it again.",
                impact="What was mended in between is broken again.",
                evidence=pair.new.line(line),
                anchor=f"older {name}",
            )


def _least(text: str) -> tuple[str, tuple[int, ...]]:
    """The package that a line of a manifest names, and the lowest version that it asks for."""
    found = _FLOOR.match(text)
    if found is None or _ELSEWHERE.search(text):
        return "", ()
    return found[1], tuple(map(int, found[2].split("."))) if found[2] else ()


def new_dependencies(pair: Pair) -> Iterator[Spot]:
    """Packages that a manifest did not name before."""
    if pair.new is None or pair.old is None or not is_manifest(pair.path) or pair.path.endswith((".ini", "setup.py")):
        return
    known = declared(pair.old.path, pair.old.data)
    for name in sorted(declared(pair.path, pair.new.data) - known):
        lines = enumerate(pair.new.lines, 1)
        line = next((number for number, text in lines if name in text or name in normal(text)), 0)
        yield Spot(
            rule="NEW_DEPENDENCY",
            severity=Severity.SUGGESTION,
            line=line,
            title=f"{name} is a new dependency",
            detail="See that it is wanted, kept up, and the package that was meant.",
            evidence=pair.new.line(line),
            anchor=f"new {normalised(name)}",
        )
