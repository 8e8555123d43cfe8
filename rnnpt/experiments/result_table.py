"""`ResultTable`: figures of many runs in a CSV file, which a stopped experiment takes up again."""

import csv
import fcntl
import io
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rnnpt.whole_file import write_bytes


class ResultTable:
    """Rows of a CSV file, each known by its key columns.

    Use it for an experiment of many runs: ask `has` before a run, call `add` after it. Each row is
    there wholly or not at all, also if the writer is killed, and several processes may add to one
    table. Values are compared as they are written, as text.

    Args:
        path: of the CSV file, which need not exist; the first row decides on its columns.
        key: columns that tell the rows apart; they come first.

    Raises:
        ValueError: if the key is empty, or the file there has not all of its columns.

    Example:
        >>> from tempfile import mkdtemp
        >>> table = ResultTable(Path(mkdtemp()) / "errors.csv", key=["problem", "seed"])
        >>> table.add(problem="add", seed=0, error=0.01)
        >>> table.has(problem="add", seed=0), table.has(problem="add", seed=1)
        (True, False)
        >>> table.rows
        [{'problem': 'add', 'seed': '0', 'error': '0.01'}]
    """

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self.path = Path(path)
        self.key = tuple(key)
        if not self.key:
            raise ValueError("ResultTable: key must name a column, got none; pass what tells rows "
                             "apart, such as ['seed']")
        missing = set(self.key) - set(self.columns or self.key)
        if missing:
            raise ValueError(
                f"ResultTable: key must be among the columns of {self.path.name}, got "
                f"{sorted(missing)} besides {self.columns}; use another file")

    @property
    def columns(self) -> list[str]:
        """Names of the columns; none where there is no row yet."""
        return self._read()[0]

    @property
    def rows(self) -> list[dict[str, str]]:
        """All rows, as text, in the order in which they were added."""
        return self._read()[1]

    def has(self, **key: object) -> bool:
        """Whether there is a row of this key.

        Args:
            **key: a value for each key column.

        Returns:
            True if so.

        Raises:
            ValueError: if other columns than the key's are named.
        """
        return self.find(**key) is not None

    def find(self, **key: object) -> dict[str, str] | None:
        """The row of a key.

        Args:
            **key: a value for each key column.

        Returns:
            Its columns as text; None if there is no such row.

        Raises:
            ValueError: if other columns than the key's are named.
        """
        if set(key) != set(self.key):
            raise ValueError(
                f"key must be the columns {list(self.key)}, got {list(key)}; name each once")
        return self._find(self.rows, key)

    def add(self, **row: object) -> None:
        """Add a row at the end.

        Args:
            **row: a value for each column.

        Raises:
            ValueError: if the columns are not those of the table, or a row of this key is there.
        """
        missing = set(self.key) - set(row)
        if missing:
            raise ValueError(
                f"row must have the key columns {list(self.key)}, got none for {sorted(missing)}; "
                "add them")
        with self._locked():
            columns, rows = self._read()
            columns = columns or [*self.key, *(name for name in row if name not in self.key)]
            if set(columns) != set(row):
                raise ValueError(
                    f"row must have the columns of {self.path.name}, {columns}, got {list(row)}; "
                    "use another file")
            key = {name: row[name] for name in self.key}
            if self._find(rows, key) is not None:
                raise ValueError(
                    f"row must have a new key, got {key}, which {self.path.name} has; ask has()")
            rows.append({name: str(value) for name, value in row.items()})
            self._write(columns, rows)

    def _find(
        self, rows: list[dict[str, str]], key: dict[str, object]
    ) -> dict[str, str] | None:
        return next((row for row in rows if all(
            row[name] == str(value) for name, value in key.items())), None)

    def _read(self) -> tuple[list[str], list[dict[str, str]]]:
        if not self.path.exists():
            return [], []
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or []), list(reader)

    def _write(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(self.path, text.getvalue().encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets no other process write; locks the folder itself, so that no file stays behind."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def this_command() -> str:
    """The command that runs now, for the column that says how a row came about.

    Returns:
        Such as "python examples/problem.py --seeds 3", or "rnnpt reproduce polyphonic_music".
    """
    program, *flags = sys.argv
    is_script = program.endswith(".py")
    return shlex.join([*(["python", program] if is_script else [Path(program).name]), *flags])


def this_machine() -> str:
    """What the run's seconds depend on.

    Returns:
        Processor and number of cores, such as "AMD EPYC, 2 cores"; nothing that names the host.
    """
    name = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def markdown_line(cells: Sequence[str]) -> str:
    """A row of a Markdown table.

    Args:
        cells: Its texts.

    Returns:
        The line.
    """
    return f"| {' | '.join(cells)} |"
