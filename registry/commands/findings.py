"""What ``hallu doctor`` finds: lines, by section, as text and as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Line:
    """One finding. ``fix`` says what to do where ``ok`` is false."""

    ok: bool
    what: str
    state: str
    fix: str = ""


@dataclass
class Report:
    """All findings, by section."""

    sections: dict[str, list[Line]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(line.ok for lines in self.sections.values() for line in lines)

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        sections = {title: [asdict(line) for line in lines] for title, lines in self.sections.items()}
        return {"ok": self.ok, "sections": sections}

    def __str__(self) -> str:
        text = []
        for title, lines in self.sections.items():
            width = max((len(line.what) for line in lines), default=0)
            text.append(title)
            for line in lines:
                text.append(f"  {'ok ' if line.ok else 'BAD'}  {line.what.ljust(width)}  {line.state}")
                if not line.ok and line.fix:
                    text.append(f"       {' ' * width}  fix: {line.fix}")
            if not lines:
                text.append("  none")
            text.append("")
        wrong = sum(not line.ok for lines in self.sections.values() for line in lines)
        return "\n".join(
            [*text, "Everything is in order." if self.ok else f"Something is wrong: {wrong} of the above."]
        )
