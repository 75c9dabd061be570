"""JSON texts that differ only in numbers, made from templates: many times as fast as encoding each.

A template is derived from the ordinary encoding, run once with distinct powers of two as numbers:
the bits of each number in the text show which of the given numbers it is the sum of.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

# Only numbers follow a colon with a digit: in compact JSON, texts begin with a quote.
_GAPS = re.compile(rb"(?<=:)[1-9]\d*")

Present = tuple[bool, ...]
"""Which numbers are present: the others are 0 or null, or occur in none of the sums."""


class Templates:
    """The templates of one encoding of `count` numbers: one for each set of present numbers.

    `encode` makes the compact JSON of the numbers, with None for those that are not present.
    """

    def __init__(self, encode: Callable[[list[int | None]], bytes], count: int) -> None:
        self._encode = encode
        self._all = (True,) * count
        self._template = lru_cache(maxsize=8192)(self._made)

    @cached_property
    def _sums(self) -> list[int]:
        """The sums of several numbers that occur in some text, as the bits of these numbers.

        The text in which all numbers are present has all of them: if another text has the sum of
        fewer numbers, it is one of these sums, with 0 for the others.
        """
        _, found = self._found_in(self._all)
        return sorted({each for each in found if each.bit_count() > 1})

    @cached_property
    def _parts(self) -> list[Callable[[Sequence[Any]], tuple[Any, ...]]]:
        """For each sum, a function that picks its numbers."""
        bits = range(len(self._all))
        return [operator.itemgetter(*(b for b in bits if each >> b & 1)) for each in self._sums]

    def text(self, numbers: Sequence[int], present: Present) -> bytes:
        """The text for these numbers; those that are not present are 0."""
        template, pick = self._template(present)
        sums = [sum(parts(numbers)) for parts in self._parts]
        text: bytes = template % (b"", *pick([*numbers, *sums]), b"")
        return text

    def texts(
        self, before: Iterable[bytes], columns: Sequence[Sequence[int]], after: Iterable[bytes]
    ) -> Iterator[bytes]:
        """The texts for columns of numbers, each between two other texts; a number is present if it
        is not 0.
        """
        present = zip(*(map(bool, column) for column in columns), strict=True)
        rows = zip(*columns, *self._columns_of_sums(columns), strict=True)
        templates = map(self._template, present)
        for first, (template, pick), row, last in zip(before, templates, rows, after, strict=True):
            yield template % (first, *pick(row), last)

    def whole_texts(
        self, before: Iterable[bytes], columns: Sequence[Sequence[int]], after: Iterable[bytes]
    ) -> Iterator[bytes]:
        """The same for columns of numbers that are all present."""
        template, pick = self._template(self._all)
        picked = pick([*columns, *self._columns_of_sums(columns)])
        return map(template.__mod__, zip(before, *picked, after, strict=True))

    def _columns_of_sums(self, columns: Sequence[Sequence[int]]) -> list[list[int]]:
        return [[*map(sum, zip(*parts(columns), strict=True))] for parts in self._parts]

    def _found_in(self, present: Present) -> tuple[bytes, list[int]]:
        """The text with powers of two as numbers, and the numbers in it."""
        powers = [1 << bit if there else None for bit, there in enumerate(present)]
        text = self._encode(powers)
        return text, [*map(int, _GAPS.findall(text))]

    def _made(self, present: Present) -> tuple[bytes, Callable[[Sequence[Any]], Any]]:
        """A text with gaps, including one before and one after it, and a function that picks the
        numbers for the gaps from all numbers and their sums.
        """
        text, found = self._found_in(present)
        there = sum(1 << bit for bit, is_there in enumerate(present) if is_there)
        place_of = {each & there: len(present) + n for n, each in enumerate(self._sums)}
        place_of |= {1 << bit: bit for bit in range(len(present))}
        places = [place_of[number] for number in found]
        template = _GAPS.sub(b"%d", text.replace(b"%", b"%%"))
        return b"".join([b"%b", template, b"%b"]), _picker(places)


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """Like operator.itemgetter, but always returns a tuple."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda numbers: tuple([numbers[place] for place in places])
