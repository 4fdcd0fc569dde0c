"""How alike two plans are: by the words of their steps, by the order of these, and by pieces of four characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

from muster.model.plan import Plan, Task
from muster.model.record import Record

_WORD = re.compile(r"\w+")
_GRAM = 4
_SKETCH = 256


class Likeness(Record, frozen=True, omit_defaults=False):
    """Three measures from 0 to 1, and the words that only one of the plans has, in their order there."""

    jaccard: float
    rouge_l: float
    minhash: float
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


def compare(first: Plan, second: Plan) -> Likeness:
    """Measure two plans; the same plan twice gives 1 three times, whatever it is called."""
    texts = [" ".join(map(_step, plan.tasks)).lower() for plan in (first, second)]
    words = [_WORD.findall(text) for text in texts]
    sets = [set(each) for each in words]
    return Likeness(
        jaccard=_jaccard(*sets),
        rouge_l=rouge_l(*words),
        minhash=minhash(*texts),
        only_first=tuple(word for word in dict.fromkeys(words[0]) if word not in sets[1]),
        only_second=tuple(word for word in dict.fromkeys(words[1]) if word not in sets[0]),
    )


def rouge_l(first: Sequence[str], second: Sequence[str]) -> float:
    """The longest common subsequence as the F1 of its shares (Lin 2004, with equal weights).

    >>> rouge_l("the cat sat".split(), "the cat ran".split()), rouge_l([], [])
    (0.6666666666666666, 1.0)
    """
    return 2 * _common(first, second) / (len(first) + len(second)) if first or second else 1.0


def minhash(first: str, second: str) -> float:
    """The likeness of the sets of four characters, estimated from the smallest hashes of both (Broder 1997).

    Sets that are no larger than the sketch are compared exactly.

    >>> minhash("abcdef", "abcdef"), minhash("abcdef", "uvwxyz")
    (1.0, 0.0)
    """
    grams = [{text[at : at + _GRAM] for at in range(max(1, len(text) - _GRAM + 1))} for text in (first, second)]
    hashes = [{blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest() for gram in g} for g in grams]
    smallest = set(sorted(hashes[0] | hashes[1])[:_SKETCH])
    return len(smallest & hashes[0] & hashes[1]) / len(smallest)


def _step(task: Task) -> str:
    paths = " ".join((*task.expected_paths, *task.verify))
    return " ".join((task.title, task.prompt, task.run, task.prose, paths))


def _jaccard(first: set[str], second: set[str]) -> float:
    return len(first & second) / len(first | second) if first or second else 1.0


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of the table in one number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        hits = row & places.get(word, 0)
        row = (row + hits | row - hits) & full
    return len(first) - row.bit_count()
