"""What attacks led to, counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from bench.attack.children import Ended
from bench.attack.work import Bench, differing, digests, leftovers

WRONG = (
    *("corrupt", "exit 1", "undocumented code", "not one line", "hang", "orphan"),
    *("input changed", "leftover", "other bytes", "rerun failed", "old file lost", "crash"),
)
"""What must not happen."""


class Tally:
    """Counts by class of attack, and each problem in a line.

    Attributes:
        counts: class → attacks that were effective.
        tried: class → attacks.
        by_command: (class, command) → effective attacks.
        codes: class → exit code → how often.
        problems: in words.
        wrong: what must not happen → how often.
    """

    def __init__(self, bench: Bench) -> None:
        from trifuse.core import EXIT_CODES

        self._bench, self._known = bench, set(EXIT_CODES)
        self._inputs = _state(bench.inputs)
        self.counts: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.by_command: Counter[tuple[str, str]] = Counter()
        self.codes: dict[str, Counter[int]] = {}
        self.wrong: Counter[str] = Counter()
        self.problems: list[str] = []

    def note(self, kind: str, command: str, *, effective: bool) -> None:
        """An attack was made."""
        self.tried[kind] += 1
        self.counts[kind] += effective
        self.by_command[kind, command] += effective

    def problem(self, what: str, kind: str, command: str, detail: str) -> None:
        self.wrong[what] += 1
        self.problems.append(f"{kind} {command}: {what}: {' '.join(detail.split())[:300]}")

    def ended(self, kind: str, command: str, ended: Ended, *, killed: bool = False) -> None:
        """Judge how a run ended, whatever it left."""
        self.codes.setdefault(kind, Counter())[ended.code] += 1
        if ended.hung:
            self.problem("hang", kind, command, f"{ended.seconds:.0f} s; {ended.said[-200:]}")
            return
        if ended.orphans:
            self.problem("orphan", kind, command, f"{ended.orphans} processes")
        if ended.code < 0:
            if not killed:
                self.problem("crash", kind, command, f"signal {-ended.code}: {ended.said[-250:]}")
            return
        if ended.code == 1:
            self.problem("exit 1", kind, command, ended.said[-250:])
        elif ended.code not in self._known:
            self.problem("undocumented code", kind, command, f"{ended.code}: {ended.said[-250:]}")
        if "Traceback" in ended.said:
            self.problem("not one line", kind, command, ended.said[-250:])
        elif ended.code not in (0, 2, 130, 143) and _complaints(ended) != 1:
            self.problem("not one line", kind, command, f"{ended.code}: {ended.said[-250:]}")

    def published(self, kind: str, command: str, folder: Path, *, all_of_it: bool = False) -> None:
        """Judge what lies under final names after a disturbed run."""
        try:
            found = digests(folder)
        except Exception as e:  # whatever a reader says of a file that is not whole
            self.problem("corrupt", kind, command, f"{type(e).__name__}: {e}")
            return
        for line in differing(found, self._bench, command, begun=not all_of_it):
            what = "old file lost" if line.endswith("missing") else "corrupt"
            self.problem(what, kind, command, line)

    def rerun(self, kind: str, command: str, folder: Path) -> None:
        """Run a command again, and judge what there is then."""
        ended = self._bench.run(command, folder)
        if ended.code:
            self.problem("rerun failed", kind, command, f"{ended.code}: {ended.said[-250:]}")
            return
        self.whole(kind, command, folder)

    def whole(self, kind: str, command: str, folder: Path) -> None:
        """Judge what a run that succeeded has left."""
        try:
            wrong = differing(digests(folder), self._bench, command)
        except Exception as e:
            wrong = [f"{type(e).__name__}: {e}"]
        for line in wrong:
            self.problem("other bytes", kind, command, line)
        if left := leftovers(folder):
            self.problem("leftover", kind, command, ", ".join(left))

    def check_inputs(self) -> None:
        """Judge whether anything changed what was read."""
        now = _state(self._bench.inputs)
        for name in sorted({*now, *self._inputs}):
            if now.get(name) != self._inputs.get(name):
                self.problem("input changed", "all", "all", name)

    def line(self, kind: str) -> str:
        codes = ", ".join(f"{c}: {n}" for c, n in sorted(self.codes.get(kind, {}).items()))
        return f"{kind:10} {self.counts[kind]:5} of {self.tried[kind]} effective; codes {codes}"

    def to_json(self) -> dict[str, Any]:
        """All counts as plain values."""
        by: dict[str, dict[str, int]] = {}
        for (kind, command), n in sorted(self.by_command.items()):
            by.setdefault(kind, {})[command] = n
        return {
            "effective": dict(self.counts),
            "tried": dict(self.tried),
            "by_command": by,
            "codes": {k: {str(c): n for c, n in v.items()} for k, v in self.codes.items()},
            "wrong": {what: self.wrong[what] for what in WRONG},
        }


def _complaints(ended: Ended) -> int:
    return sum(line.startswith("Error: ") for line in ended.said.splitlines())


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}
