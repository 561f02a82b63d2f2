"""What ``hallu compare`` shows: text, Markdown, LaTeX, JSON, a forest plot, and a page of changed answers."""

from hallu_tasks.report.data import as_json
from hallu_tasks.report.files import check, write
from hallu_tasks.report.latex import as_latex
from hallu_tasks.report.plain import as_markdown, as_text

__all__ = ["as_json", "as_latex", "as_markdown", "as_text", "check", "write"]
