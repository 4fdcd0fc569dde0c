"""Python calls through which data becomes code, commands, queries or markup."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from muster.model.findings import Severity
from muster.review.rules.kinds import is_aside, is_test, language
from muster.review.rules.python import Def
from muster.review.rules.spots import Side, Spot

_CODE = frozenset({"eval", "exec"})
_SHELL = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
_SHELL |= {"asyncio.create_subprocess_shell", "anyio.run_process", "commands.getoutput"}
_SPAWN = frozenset({"run", "call", "check_call", "check_output", "Popen"})
_PICKLE = frozenset({"pickle.load", "pickle.loads", "cPickle.loads", "dill.loads", "dill.load", "marshal.loads"})
_PICKLE |= {"cloudpickle.loads", "joblib.load", "jsonpickle.decode", "pickle.Unpickler"}
_MARKUP = frozenset({"Markup", "markupsafe.Markup", "flask.Markup", "mark_safe", "render_template_string"})
_MARKUP |= {"flask.render_template_string"}
_CONTROLS = "Whoever controls the data controls what happens."
_SAFE_LOADERS = re.compile(r"Safe|Base")
_SQL = re.compile(
    r"\b(?:SELECT\b.+\bFROM|INSERT\s+INTO|UPDATE\b.+\bSET|DELETE\s+FROM|DROP\s+TABLE|CREATE\s+TABLE|WHERE)\b",
    re.I | re.S,
)
_QUERY = frozenset({"execute", "executemany", "executescript", "raw", "text"})
_CLEANING = re.compile(r"quote|escape|sanit|literal|int$|float$|bool$|len$|isinstance|clean")
_WORTH_A_LOOK = re.compile(
    r"\b(?:eval|exec)\s*\(|shell\s*=|os\.(?:system|popen)|getoutput|_shell\(|[pP]ickle|marshal|dill|joblib|yaml\.|Markup|mark_safe"
    r"|render_template_string|execute|\.raw\(|\btext\(|verify\s*=\s*False|_unverified_|CERT_NONE|check_hostname|autoescape|mktemp\("
    r"|AutoAddPolicy|extractall"
)


def sinks(side: Side) -> Iterator[Spot]:
    """Calls that run or show what they are given, weighed by where that comes from."""
    if (
        language(side.path) != "python"
        or is_test(side.path)
        or not _WORTH_A_LOOK.search(side.text)
        or side.tree is None
    ):
        return
    aliases = _aliases(side.tree)
    yield from _in_block(side, side.tree, frozenset(), aliases, "")


def _in_block(
    side: Side, scope: ast.AST, tainted: frozenset[str], aliases: dict[str, str], symbol: str
) -> Iterator[Spot]:
    """Look at one function or module; a function inside sees the parameters around it."""
    if isinstance(scope, Def):
        tainted |= _parameters(scope)
    known: set[str] = set(tainted)
    literals: set[str] = set()
    inner: list[Def | ast.ClassDef] = []
    stack: list[ast.AST] = list(reversed(list(ast.iter_child_nodes(scope))))
    while stack:
        node = stack.pop()
        if isinstance(node, Def | ast.ClassDef):
            inner.append(node)
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if _from(node.value, known):
                known |= names
            elif not isinstance(node, ast.AugAssign):
                known -= names
                literals |= names if _is_literal(node.value, literals) else set()
        if isinstance(node, ast.Call):
            yield from _call(side, node, known, literals, aliases, symbol)
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    for node in inner:
        name = f"{symbol}.{node.name}" if symbol else node.name
        yield from _in_block(side, node, frozenset(known) if isinstance(scope, Def) else frozenset(), aliases, name)


def _call(
    side: Side, call: ast.Call, tainted: set[str], literals: set[str], aliases: dict[str, str], symbol: str
) -> Iterator[Spot]:
    name = _name(call.func, aliases)
    keywords = {word.arg: word.value for word in call.keywords if word.arg}
    argument = call.args[0] if call.args else next(iter(keywords.values()), None)
    last = name.rpartition(".")[2]
    what = _run(name, last, call, argument, keywords) if argument is not None else ""
    advice, impact = "Pass data as data: a list of arguments, bound values, a safe loader, escaped text.", _CONTROLS
    severity = Severity.MAJOR
    if what and argument is not None:
        direct = _from(argument, tainted) and name not in _PICKLE
        if _is_literal(argument, literals) or (name in _MARKUP and not direct):
            severity = Severity.MINOR
        elif direct and name not in _MARKUP:
            severity = Severity.BLOCKER
    elif what := _setting(name, last, keywords):
        advice, impact = "Keep the protection on.", "The other side is not who it says it is."
    else:
        return
    if is_aside(side.path) or name == "yaml.full_load":
        severity = Severity.MINOR
    yield Spot(
        rule="SECURITY_INJECTION",
        severity=severity,
        line=call.lineno,
        title=what + ", from a parameter" * (severity is Severity.BLOCKER),
        detail=advice,
        impact=impact,
        evidence=side.line(call.lineno),
        symbol=symbol,
        anchor=f"{name} {ast.unparse(argument)[:300] if argument is not None else ''}",
    )


def _run(name: str, last: str, call: ast.Call, argument: ast.expr, keywords: dict[str, ast.expr]) -> str:
    """What a call does with its argument, if that is more than taking it as data."""
    if name in _CODE:
        return f"{name} runs its argument as code"
    if name in _SHELL or (last in _SPAWN and _is(True, keywords.get("shell"))):
        return f"{name} gives its argument to a shell"
    if name in _PICKLE:
        return f"{name} runs whatever the data says"
    unsafe = name == "yaml.load" and not _SAFE_LOADERS.search(_loader(call, keywords))
    if unsafe or name in ("yaml.unsafe_load", "yaml.full_load"):
        return f"{name} makes objects that the data names"
    if name in _MARKUP:
        return f"{last} shows its argument without escaping"
    return f"{last} gets a query that was put together from text" * (last in _QUERY and _builds_sql(argument))


def _setting(name: str, last: str, keywords: dict[str, ast.expr]) -> str:
    """A protection that a call switches off, by its very words."""
    if _is(False, keywords.get("verify")) or "_unverified_" in last:
        return f"{last} does not verify certificates"
    if _is(False, keywords.get("autoescape")):
        return f"{last} does not escape what it renders"
    if name == "tempfile.mktemp":
        return "tempfile.mktemp names a file that another program can make first"
    return "Any host key is accepted" if last == "set_missing_host_key_policy" else ""


def _parameters(function: Def) -> frozenset[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return frozenset(each.arg for each in every) - {"self", "cls"}


def _from(value: ast.AST, tainted: set[str]) -> bool:
    """Whether a value carries a parameter into text; what was cleaned or turned into a number does not."""
    if isinstance(value, ast.Name):
        return value.id in tainted
    if isinstance(value, ast.Call):
        if _CLEANING.search(_name(value.func, {})):
            return False
        inner = value.func.value if isinstance(value.func, ast.Attribute) else None
        parts = [*value.args, *(word.value for word in value.keywords), *([inner] if inner is not None else [])]
        return any(_from(part, tainted) for part in parts)
    if isinstance(value, ast.Compare | ast.Lambda):
        return False
    return any(_from(part, tainted) for part in ast.iter_child_nodes(value))


def _is_literal(value: ast.AST, literals: set[str]) -> bool:
    match value:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in literals or name.isupper()
        case ast.Attribute(attr=name):
            return name.isupper()
        case ast.BinOp(left=left, right=right):
            return _is_literal(left, literals) and _is_literal(right, literals)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.JoinedStr(values=parts):
            return all(_is_literal(part, literals) for part in parts)
        case ast.FormattedValue(value=inner):
            return _is_literal(inner, literals)
        case _:
            return False


def _builds_sql(value: ast.AST) -> bool:
    match value:
        case ast.JoinedStr(values=parts):
            text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
            return len(parts) > 1 and bool(_SQL.search(text))
        case ast.BinOp(op=ast.Mod() | ast.Add(), left=left):
            return _builds_sql(left) or _is_sql(left)
        case ast.Call(func=ast.Attribute(attr="format", value=text)):
            return _is_sql(text)
        case _:
            return False


def _is_sql(value: ast.AST) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str) and bool(_SQL.search(value.value))


def _loader(call: ast.Call, keywords: dict[str, ast.expr]) -> str:
    loader = keywords.get("Loader") or (call.args[1] if len(call.args) > 1 else None)
    return ast.unparse(loader) if loader is not None else ""


def _is(wanted: bool, value: ast.AST | None) -> bool:
    return isinstance(value, ast.Constant) and (bool(value.value) if wanted else value.value is False)


def _name(function: ast.AST, aliases: dict[str, str]) -> str:
    """A dotted name, with what it was imported as turned back."""
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ".".join(("?", *reversed(parts)))
    return ".".join((aliases.get(function.id, function.id), *reversed(parts)))


def _aliases(tree: ast.Module) -> dict[str, str]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({name.asname: name.name for name in node.names if name.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({name.asname or name.name: f"{node.module}.{name.name}" for name in node.names})
    return found


RULES = (sinks,)
