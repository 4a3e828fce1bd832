"""From rows and summary to tables, figures and one page, without torch."""

from concord.report.console import console_table
from concord.report.write import write_report

__all__ = ["console_table", "write_report"]
