"""A report on runs: one HTML file, and its tables and charts as files if wanted.

python -m fedgan.report PATH... out=report.html export=true
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen, Predicate
from omegaconf import DictConfig, OmegaConf

from fedgan.core.arguments import Allowed, Count, PathText, checked, validated
from fedgan.core.folders import check_makeable, check_own
from fedgan.core.words import counted
from fedgan.reports.assemble import sections
from fedgan.reports.blocks import Section
from fedgan.reports.export import export, files_folder
from fedgan.reports.html import PageFile, page, write_page
from fedgan.reports.run import Run, find_runs
from fedgan.runs.allowlist import Packages

FILE_NAME = "report.html"
LARGEST = 10_000_000  # bytes of a page
SEVERAL = Path("outputs/report")  # where reports on several folders go, one folder each, named by the time


def _is_page(out: str) -> bool:
    return Path(out).suffix == ".html"


PageName = Annotated[PathText, Predicate(_is_page), Allowed("a file that ends in .html")]
Paths = Annotated[
    Sequence[PathText],
    MinLen(1),
    Allowed("at least one folder of a run, a sweep or a study, typed before all settings"),
]


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/report.yaml."""

    paths: Paths
    trust: Packages
    root: PathText | None
    out: PageName | None
    export: bool
    details: Count


def main(cfg: DictConfig) -> None:
    """Write the report and print where it is."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    print(write_report(Settings(**plain)))


def write_report(settings: Settings) -> Path:
    """Write the report, and its tables and charts where they are wanted; returns the page's file.

    Raises:
        ValueError: in one line, if there is no run, or a file in the way.
    """
    folders = [Path(path).expanduser() for path in settings.paths]
    runs = find_runs(folders, settings.trust)
    out = place(folders, settings.out)
    check_out(out, settings.export)

    title = ", ".join(folder.resolve().name for folder in folders[:3]) + (", ..." if len(folders) > 3 else "")
    about = f"{counted(len(runs), 'run')} in {', '.join(map(str, folders[:6]))}{', ...' if len(folders) > 6 else ''}"
    parts, text = fitted(runs, settings, title, about)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_page(text, out)
    if settings.export:
        files = export(parts, files_folder(out))
        print(f"{counted(len(files), 'file')} in {files_folder(out)}")
    return out


def fitted(runs: Sequence[Run], settings: Settings, title: str, about: str) -> tuple[list[Section], str]:
    """The report and its page; with fewer runs in detail where the page would be too large."""
    details = min(settings.details, len(runs))
    while True:
        parts = sections(runs, details=details, root=settings.root)
        text = page(parts, title=title, about=about)
        if len(text.encode()) <= LARGEST or details == 1:
            return parts, text
        details //= 2


def place(folders: Sequence[Path], out: str | None) -> Path:
    """Where the report goes: where ``out`` says, into the one folder, or into a new one for several."""
    if out is not None:
        return Path(out).expanduser()
    if len(folders) == 1:
        return folders[0] / FILE_NAME
    return SEVERAL / datetime.now().strftime("%Y-%m-%d_%H-%M-%S") / FILE_NAME


def check_out(out: Path, export_too: bool) -> None:
    """Refuse, before anything is read, what cannot be written or what no report is.

    Raises:
        ValueError: in one line.
    """
    validated("out", PageFile, out)
    check_makeable("out", out.parent)
    if export_too:
        check_own(files_folder(out), "runs.csv", "out: the folder for its files")
