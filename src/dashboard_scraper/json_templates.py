"""JSON texts that differ only in numbers, from a template: many times as fast as encoding each.

A template is derived from the ordinary encoding, run once with distinct powers of two for numbers:
in each number of the text, the bits show which of the given numbers it is the sum of.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

# Only numbers follow a colon with a digit: in compact JSON, texts begin with a quote.
_GAPS = re.compile(rb"(?<=:)[1-9]\d*")


class Template:
    """A text with gaps for sums of numbers.

    `encode` makes the compact JSON for given numbers. Those that are not `present` are 0 in every
    text of this template, or appear in none of its sums.
    """

    def __init__(self, encode: Callable[[list[int]], bytes], present: Sequence[bool]) -> None:
        text = encode([there << bit for bit, there in enumerate(present)])
        places = {1 << bit: bit for bit in range(len(present))}
        order: list[int] = []
        self._sums: list[Callable[[Sequence[Any]], tuple[int, ...]]] = []
        for number in map(int, _GAPS.findall(text)):
            if number not in places:
                places[number] = len(present) + len(self._sums)
                parts = [bit for bit in range(len(present)) if number >> bit & 1]
                self._sums.append(operator.itemgetter(*parts))
            order.append(places[number])
        self._order = order
        self._text = _GAPS.sub(b"%d", text.replace(b"%", b"%%"))
        self._pick: Callable[[Sequence[Any]], Any] = (
            operator.itemgetter(*order) if order else lambda _: ()
        )

    def filled(self, numbers: Sequence[Any]) -> bytes:
        """The text for these numbers, which are integers where they are present."""
        all_numbers = [*numbers, *[sum(parts(numbers)) for parts in self._sums]]
        text: bytes = self._text % self._pick(all_numbers)
        return text

    def filled_all(
        self,
        before: Iterable[bytes],
        columns: Sequence[Sequence[int]],
        after: Iterable[bytes],
    ) -> Iterator[bytes]:
        """The texts for columns of numbers, each between two others: several times as fast."""
        sums = [[*map(sum, zip(*parts(columns), strict=True))] for parts in self._sums]
        numbers = [*columns, *sums]
        rows = zip(before, *(numbers[place] for place in self._order), after, strict=True)
        return map(b"".join([b"%b", self._text, b"%b"]).__mod__, rows)
