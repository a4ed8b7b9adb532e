"""What became of every item that was found: `found = done + failed + skipped`."""

from __future__ import annotations

from dataclasses import dataclass, field

_LISTED = 20


@dataclass
class Account:
    """Counts items; each is done, failed or skipped, never two of these."""

    what: str = "frames"
    done: int = 0  # their files are there
    reused: int = 0  # of those: from an earlier run
    failed: dict[str, str] = field(default_factory=dict)  # why, by name
    skipped: dict[str, str] = field(default_factory=dict)  # left out on purpose, and why, by name
    without_metres: int = 0  # of those that are done
    notes: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        """All that was found."""
        return self.done + len(self.failed) + len(self.skipped)

    def as_json(self) -> dict[str, object]:
        """Return what is true of the folder, whether it was made in one run or in several."""
        return {
            "found": self.found,
            "done": self.done,
            "failed": dict(sorted(self.failed.items())),
            "skipped": dict(sorted(self.skipped.items())),
            "without_metres": self.without_metres,
            "notes": self.notes,
        }

    def text(self) -> str:
        """Return it for people, with the reason of each failure."""
        counts = f"found {self.found} {self.what} = done {self.done}"
        counts += f" + failed {len(self.failed)} + skipped {len(self.skipped)}"
        if self.reused:
            counts += f" ({self.reused} were there already)"
        lines = [counts]
        if self.without_metres:
            lines.append(f"without metres: {self.without_metres}")
        for kind, items in (("failed", self.failed), ("skipped", self.skipped)):
            shown = list(items.items())[:_LISTED]
            lines += [f"{kind}: {name}: {reason}" for name, reason in shown]
            if len(items) > len(shown):
                lines.append(f"{kind}: {len(items) - len(shown)} more, see account.json")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])
