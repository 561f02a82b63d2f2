"""What ``hallu compare`` shows: text, Markdown, JSON, a forest plot, and a page with the answers that changed."""

from hallu_tasks.report.data import as_json
from hallu_tasks.report.files import check, write
from hallu_tasks.report.plain import as_markdown, as_text

__all__ = ["as_json", "as_markdown", "as_text", "check", "write"]
