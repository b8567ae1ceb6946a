#!/usr/bin/env python3
"""Stream the SQL of a realistic shop database of a given size, for tests of memory and speed.

    generate.py --dbms mariadb --megabytes 2000 | mariadb shop
    generate.py --dbms postgresql --megabytes 100 | psql -q -v ON_ERROR_STOP=1 -d shop

Customers, orders, their items, and documents of some kilobytes each: numbers, dates, short and long text. The same
arguments give the same bytes. The size is that of the rows as text; the server needs somewhat more on disk.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta

CUSTOMERS_PER_ROUND = 400
# One statement carries at most so many bytes, well below any server's limit.
STATEMENT_BYTES = 512 * 1024

TABLES = {
    "customers": "id {int} NOT NULL PRIMARY KEY, name VARCHAR(80) NOT NULL, email VARCHAR(120) NOT NULL, born DATE, "
    "credit DECIMAL(12,2) NOT NULL, created {time} NOT NULL, address {text}",
    "orders": "id {int} NOT NULL PRIMARY KEY, customer_id {int} NOT NULL, status VARCHAR(12) NOT NULL, "
    "total DECIMAL(12,2) NOT NULL, ordered {time} NOT NULL, note {text}",
    "items": "order_id {int} NOT NULL, line SMALLINT NOT NULL, product VARCHAR(60) NOT NULL, quantity INT NOT NULL, "
    "price DECIMAL(10,2) NOT NULL, weight DOUBLE PRECISION, PRIMARY KEY (order_id, line)",
    "documents": "id {int} NOT NULL PRIMARY KEY, customer_id {int} NOT NULL, title VARCHAR(120) NOT NULL, "
    "body {text} NOT NULL",
}
TYPES = {
    "mariadb": {"int": "BIGINT", "time": "DATETIME(3)", "text": "MEDIUMTEXT"},
    "mysql": {"int": "BIGINT", "time": "DATETIME(3)", "text": "MEDIUMTEXT"},
    "postgresql": {"int": "BIGINT", "time": "TIMESTAMP(3)", "text": "TEXT"},
}
AFTER = (
    "CREATE INDEX orders_customer ON orders (customer_id, ordered)",
    "CREATE INDEX documents_customer ON documents (customer_id)",
    "ALTER TABLE orders ADD CONSTRAINT orders_of FOREIGN KEY (customer_id) REFERENCES customers (id)",
    "ALTER TABLE items ADD CONSTRAINT items_of FOREIGN KEY (order_id) REFERENCES orders (id)",
)
SYLLABLES = (
    *("ka", "lo", "mi", "ren", "tor", "sa", "vel", "dan", "ü", "po", "shi", "ga"),
    *("ber", "nö", "lin", "fa", "dur", "el", "ém", "or", "ta", "quin", "zo", "pra"),
)
STATES = ("new", "paid", "packed", "shipped", "returned", "it's odd")
Value = str | int | float | None


class Writer:
    """Rounds of rows, always the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 4))) for _ in range(5000)]
        # Sentences are put together once: to draw every word anew would take longer than to load it.
        self.sentences = [
            " ".join(self.random.choices(self.words, k=self.random.randint(5, 18))).capitalize() + ". "
            for _ in range(20000)
        ]
        self.customer = self.order = self.document = 0

    def text(self, sentences: int) -> str:
        """So many sentences, with a number that makes each text unlike the others."""
        return "".join(self.random.choices(self.sentences, k=sentences)) + str(self.random.getrandbits(48))

    def moment(self) -> str:
        """A moment in the last twenty years before 2025."""
        return (datetime(2005, 1, 1) + timedelta(milliseconds=self.random.randrange(631_000_000_000))).isoformat(
            " ", "milliseconds"
        )

    def round(self) -> dict[str, list[tuple[Value, ...]]]:
        """The next rows of every table."""
        draw = self.random
        rows: dict[str, list[tuple[Value, ...]]] = {table: [] for table in TABLES}
        for _ in range(CUSTOMERS_PER_ROUND):
            self.customer += 1
            first, last = draw.choices(self.words, k=2)
            born = (
                None if draw.random() < 0.1 else (date(1930, 1, 1) + timedelta(days=draw.randrange(28000))).isoformat()
            )
            rows["customers"].append(
                (
                    self.customer,
                    f"{first} {last}".title(),
                    f"{first}.{self.customer}@example.org",
                    born,
                    f"{draw.randrange(-10**6, 10**8) / 100:.2f}",
                    self.moment(),
                    f"{last} {draw.randrange(300)}\n{draw.randrange(99999):05d} {first}",
                )
            )
            for _ in range(draw.randrange(6)):
                self.order += 1
                note = self.text(2) if draw.random() < 0.3 else None
                rows["orders"].append(
                    (
                        self.order,
                        self.customer,
                        draw.choice(STATES),
                        f"{draw.randrange(10**7) / 100:.2f}",
                        self.moment(),
                        note,
                    )
                )
                for line in range(1, draw.randrange(2, 7)):
                    product = f"{draw.choice(self.words)} {draw.choice(self.words)}"
                    rows["items"].append(
                        (
                            self.order,
                            line,
                            product,
                            draw.randrange(1, 50),
                            f"{draw.randrange(10**6) / 100:.2f}",
                            draw.random() * 100,
                        )
                    )
            if draw.random() < 0.5:
                self.document += 1
                rows["documents"].append(
                    (self.document, self.customer, self.text(1)[:100], self.text(draw.randrange(5, 100)))
                )
        return rows


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return repr(value)


def _copied(value: Value) -> str:
    if value is None:
        return "\\N"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _inserts(table: str, rows: list[tuple[Value, ...]]) -> Iterator[str]:
    pending: list[str] = []
    size = 0
    for row in rows:
        pending.append("(" + ",".join(map(_literal, row)) + ")")
        size += len(pending[-1])
        if size > STATEMENT_BYTES:
            yield f"INSERT INTO {table} VALUES " + ",\n".join(pending) + ";\n"
            pending, size = [], 0
    if pending:
        yield f"INSERT INTO {table} VALUES " + ",\n".join(pending) + ";\n"


def _copy(table: str, rows: list[tuple[Value, ...]]) -> Iterator[str]:
    yield f"COPY {table} FROM stdin;\n" + "".join("\t".join(map(_copied, row)) + "\n" for row in rows) + "\\.\n"


def generate(dbms: str, megabytes: float, seed: int = 1) -> Iterator[bytes]:
    """Yield the SQL piece by piece; memory does not grow with the size.

    Args:
        dbms: ``mariadb``, ``mysql`` or ``postgresql``.
        megabytes: How much data, in millions of bytes of rows as text.
        seed: Another seed gives other data of the same kind.
    """
    postgresql = dbms == "postgresql"
    yield (
        b"SET client_encoding = 'UTF8';\n"
        if postgresql
        else b"SET NAMES utf8mb4, foreign_key_checks = 0, unique_checks = 0;\n"
    )
    for table, columns in TABLES.items():
        options = "" if postgresql else " DEFAULT CHARSET=utf8mb4"
        yield f"CREATE TABLE {table} ({columns.format(**TYPES[dbms])}){options};\n".encode()
    writer, written = Writer(seed), 0
    statements = _copy if postgresql else _inserts
    while written < megabytes * 1_000_000:
        for table, rows in writer.round().items():
            for statement in statements(table, rows) if rows else ():
                piece = statement.encode()
                written += len(piece)
                yield piece
    for statement in AFTER:
        yield f"{statement};\n".encode()


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dbms", required=True, choices=TYPES)
    parser.add_argument("--megabytes", required=True, type=float)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        for piece in generate(options.dbms, options.megabytes, options.seed):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The client that reads has gone and says why itself.
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
