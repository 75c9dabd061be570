"""JSON texts that differ only in numbers, from templates: many times as fast as encoding each.

A template is derived from the ordinary encoding, run once with distinct powers of two for numbers:
in each number of the text, the bits show which of the given numbers it is the sum of.
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
"""Which of the numbers are there: the others are 0 or null, or appear in none of the sums."""


class Templates:
    """The templates of one encoding of `count` numbers, one for each set that is present.

    `encode` makes the compact JSON of numbers, with None for those that are not present.
    """

    def __init__(self, encode: Callable[[list[int | None]], bytes], count: int) -> None:
        self._encode = encode
        self._all = (True,) * count
        self._template = lru_cache(maxsize=8192)(self._made)

    @cached_property
    def _sums(self) -> list[int]:
        """The sums of several numbers that are in some text, as the bits of these numbers.

        Where all numbers are present there are all sums: one of a few, in another text, is one of
        more of which the others are 0.
        """
        _, found = self._found_in(self._all)
        return sorted({each for each in found if each.bit_count() > 1})

    @cached_property
    def _parts(self) -> list[Callable[[Sequence[Any]], tuple[Any, ...]]]:
        """What picks the numbers of each sum."""
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
        """The texts for columns of numbers, of which those are present that are not 0, each between
        two others.
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
        """The text of powers of two, and the numbers in it."""
        powers = [1 << bit if there else None for bit, there in enumerate(present)]
        text = self._encode(powers)
        return text, [*map(int, _GAPS.findall(text))]

    def _made(self, present: Present) -> tuple[bytes, Callable[[Sequence[Any]], Any]]:
        """A text with gaps, also before and after it, and what picks the numbers in the gaps from
        all numbers and their sums.
        """
        text, found = self._found_in(present)
        there = sum(1 << bit for bit, is_there in enumerate(present) if is_there)
        place_of = {each & there: len(present) + n for n, each in enumerate(self._sums)}
        place_of |= {1 << bit: bit for bit in range(len(present))}
        places = [place_of[number] for number in found]
        template = _GAPS.sub(b"%d", text.replace(b"%", b"%%"))
        return b"".join([b"%b", template, b"%b"]), _picker(places)


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], Any]:
    """As operator.itemgetter, but always of a tuple."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda numbers: tuple([numbers[place] for place in places])
