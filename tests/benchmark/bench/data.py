# GNU General Public License v2.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Data that compresses like that of real databases: the same for the same size and seed, made as a stream.

Words are drawn by Zipf's law from a made-up vocabulary. Texts are pieces of a large pool of such words at random
places: drawing every single word would take longer than the dumps that are to be measured, and the pool is larger than
the window of any compressor that is compared, so that pieces hardly ever come twice within it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SEED = 20260101
VOCABULARY = 40_000
SMALLEST_POOL, LARGEST_POOL = 2_000_000, 48_000_000
SMALL_TABLES, SMALL_ROWS = 100, 40
BATCH_BYTES = 1_000_000
NULL = r"\N"
_SYLLABLES = [
    c + v
    for c in ["b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "w", "z", "sch"]
    for v in ("a", "e", "i", "o", "u", "en")
]
_FIRST = [
    "Ana",
    "José",
    "Müller",
    "Łukasz",
    "Mary",
    "Chloé",
    "Jan",
    "Søren",
    "Inês",
    "João",
    "Olga",
    "Peter",
    "Zoë",
    "Karl",
    "Rosa",
    "Amélie",
    "Tom",
    "Eva",
    "Noël",
    "Ida",
]
_CITIES = [
    "São Paulo",
    "Zürich",
    "Köln",
    "Porto",
    "London",
    "Kraków",
    "Paris",
    "Recife",
    "Berlin",
    "Malmö",
    "Lisboa",
    "Curitiba",
    "Graz",
    "Oslo",
    "Roma",
]
_KINDS = ["view", "click", "search", "order", "payment", "login", "logout", "error"]
_AGENTS = ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/139.0"]


@dataclass(frozen=True)
class Column:
    """One column. Bytes travel as hexadecimal digits; ``binary`` says that they are to be turned back."""

    name: str
    mysql: str
    postgresql: str
    binary: bool = False


@dataclass(frozen=True)
class Table:
    """A table, its part of all the data, and what makes its rows (tab-separated, without the line's end)."""

    name: str
    columns: tuple[Column, ...]
    share: float
    indexes: tuple[str, ...]
    row: Callable[[Source, int], str]


class Source:
    """Draws names, texts and numbers."""

    def __init__(self, size: int, seed: int = SEED) -> None:
        """Make the vocabulary and the pool.

        Args:
            size: Bytes of data that are wanted in all.
            seed: What the random numbers depend on.
        """
        rng = random.Random(seed)
        self.random = rng.random
        self.randbytes = rng.randbytes
        words: dict[str, None] = {}
        while len(words) < VOCABULARY:
            # Frequent words are short, as in every language.
            syllables = 1 + int(rng.random() * (1.5 + len(words) / VOCABULARY * 4))
            word = "".join(rng.choices(_SYLLABLES, k=syllables))
            words[word + ("'s" if rng.random() < 0.02 else "")] = None
        self.words = list(words)
        weights = [1 / (rank + 2.7) for rank in range(VOCABULARY)]
        cumulative = list(itertools.accumulate(weights))
        self.pool = _pool(rng, self.words, cumulative, max(SMALLEST_POOL, min(LARGEST_POOL, size // 4)))
        self._last = len(self.pool) - 10_000

    def number(self, limit: int) -> int:
        """Return a whole number from 0 below a limit."""
        return int(self.random() * limit)

    def text(self, length: int) -> str:
        """Return that many characters of text; 9,000 at most."""
        start = int(self.random() * self._last)
        return self.pool[start : start + length]

    def word(self) -> str:
        """Return any word of the vocabulary."""
        return self.words[int(self.random() * VOCABULARY)]

    def date(self) -> str:
        """Return a day within ten years."""
        day = int(self.random() * 3650)
        return f"{2016 + day // 365}-{1 + day % 365 // 31:02d}-{1 + day % 28:02d}"

    def moment(self, number: int) -> str:
        """Return a moment that moves forward with a row's number, as in tables that only grow."""
        minutes, second = divmod(number * 7 + int(self.random() * 60), 60)
        day, minute = divmod(minutes, 1440)
        return (
            f"{2020 + day // 336 % 40}-{1 + day // 28 % 12:02d}-{1 + day % 28:02d}"
            f" {minute // 60:02d}:{minute % 60:02d}:{second:02d}"
        )


def _pool(rng: random.Random, words: list[str], cumulative: list[float], size: int) -> str:
    sentences, length = [], 0
    while length < size:
        drawn = iter(rng.choices(words, cum_weights=cumulative, k=20_000))
        while sentence := " ".join(itertools.islice(drawn, 6 + int(rng.random() * 14))):
            sentences.append(f"{sentence[0].upper()}{sentence[1:]}. ")
            length += len(sentence) + 2
    return "".join(sentences)


def _article(source: Source, number: int) -> str:
    body = source.text(300 + source.number(4000))
    return (
        f"{number}\t{source.number(5000)}\t{source.text(30 + source.number(40))}\t{body}\\n\\n{source.text(400)}"
        f"\t{source.moment(number * 30)}"
    )


def _attachment(source: Source, number: int) -> str:
    content = source.randbytes(2000 + source.number(16000)).hex()
    return f"{number}\t{1 + source.number(1000)}\t{source.word()}-{number}.jpg\t{content}"


def _customer(source: Source, number: int) -> str:
    first, last = _FIRST[source.number(len(_FIRST))], source.word().capitalize()
    token = source.randbytes(16).hex()
    note = source.text(60) if source.random() < 0.3 else NULL
    return (
        f"{number}\t{first} {last}\t{last.lower()}.{number}@example.org\t{_CITIES[source.number(len(_CITIES))]}"
        f"\t+55 11 {source.number(10**8):08d}\t{source.date()}\t{source.number(10**7) / 100:.2f}\t{token}\t{note}"
    )


def _event(source: Source, number: int) -> str:
    kind = _KINDS[source.number(len(_KINDS))]
    payload = (
        f'{{"user": {source.number(200_000)}, "page": "/{source.word()}/{source.word()}", "ms":'
        f' {source.random() * 900:.3f}, "agent": "{_AGENTS[source.number(2)]}", "tags": ["{source.word()}",'
        f' "{kind}"], "ok": {"true" if source.random() < 0.9 else "false"}}}'
    )
    return f"{number}\t{source.moment(number)}\t{kind}\t{source.number(200_000)}\t{payload}"


def _order_line(source: Source, number: int) -> str:
    price = source.number(50_000)
    return (
        f"{number}\t{number // 4 + 1}\t{source.number(30_000)}\t{1 + source.number(9)}\t{price / 100:.2f}"
        f"\t{source.number(20) / 100:.2f}\t{source.date()}\t{NULL if price % 8 else source.text(24)}"
    )


def _setting(source: Source, number: int) -> str:
    return f"{number}\t{source.word()}.{source.word()}\t{source.text(40)}\t{source.moment(number)}"


def _column(name: str, mysql: str, postgresql: str = "", binary: bool = False) -> Column:
    return Column(name, mysql, postgresql or mysql, binary)


_ID = _column("id", "bigint")
_MOMENT = ("datetime", "timestamp")
LARGE_TABLES = (
    Table(
        "article",
        (
            _ID,
            _column("author_id", "integer"),
            _column("title", "varchar(200)"),
            _column("body", "text"),
            _column("published", *_MOMENT),
        ),
        0.40,
        ("author_id", "published"),
        _article,
    ),
    Table(
        "attachment",
        (
            _ID,
            _column("article_id", "bigint"),
            _column("name", "varchar(100)"),
            _column("content", "mediumblob", "bytea", binary=True),
        ),
        0.05,
        ("article_id",),
        _attachment,
    ),
    Table(
        "customer",
        (
            _ID,
            _column("name", "varchar(100)"),
            _column("email", "varchar(120)"),
            _column("city", "varchar(60)"),
            _column("phone", "varchar(30)"),
            _column("born", "date"),
            _column("balance", "decimal(12,2)"),
            _column("token", "binary(16)", "bytea", binary=True),
            _column("note", "varchar(200)"),
        ),
        0.10,
        ("email", "city"),
        _customer,
    ),
    Table(
        "event",
        (
            _ID,
            _column("happened", *_MOMENT),
            _column("kind", "varchar(20)"),
            _column("user_id", "integer"),
            _column("payload", "json", "jsonb"),
        ),
        0.25,
        ("happened", "user_id"),
        _event,
    ),
    Table(
        "order_line",
        (
            _ID,
            _column("order_id", "bigint"),
            _column("product_id", "integer"),
            _column("quantity", "integer"),
            _column("price", "decimal(10,2)"),
            _column("discount", "decimal(4,2)"),
            _column("ordered", "date"),
            _column("note", "varchar(100)"),
        ),
        0.20,
        ("order_id", "product_id"),
        _order_line,
    ),
)
TENTH = "customer"  # which is neither the first nor the last
_SETTING_COLUMNS = (
    _ID,
    _column("name", "varchar(100)"),
    _column("value", "varchar(200)"),
    _column("changed", *_MOMENT),
)


def small_table(name: str) -> Table:
    """Return one of the many tables that hold next to nothing."""
    return Table(name, _SETTING_COLUMNS, 0.0, ("name",), _setting)


SMALL = tuple(small_table(f"setting_{number:03d}") for number in range(1, SMALL_TABLES + 1))


def batches(source: Source, table: Table, size: int, binary_prefix: str) -> Iterator[bytes]:
    """Yield a table's rows as tab-separated lines in batches, until its share of the size is reached.

    Args:
        source: What draws the values.
        table: The table; one without a share gets :data:`SMALL_ROWS` rows.
        size: Bytes of all tables together.
        binary_prefix: What stands before hexadecimal digits.
    """
    prefixed = [index for index, column in enumerate(table.columns) if column.binary and binary_prefix]
    lines: list[str] = []
    wanted, made, held = size * table.share, 0, 0
    number = 0
    while (made + held < wanted) if table.share else (number < SMALL_ROWS):
        number += 1
        line = table.row(source, number)
        if prefixed:
            fields = line.split("\t")
            for index in prefixed:
                fields[index] = binary_prefix + fields[index]
            line = "\t".join(fields)
        lines.append(line)
        held += len(line)
        if held >= BATCH_BYTES:
            yield ("\n".join(lines) + "\n").encode()
            made, held = made + held, 0
            lines.clear()
    if lines:
        yield ("\n".join(lines) + "\n").encode()
