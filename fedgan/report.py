"""A report on a run, several, a sweep or a study: one HTML file that needs nothing else.

python -m fedgan.report outputs/train/2026-01-31_12-00-00
python -m fedgan.report SWEEP OTHER_RUN out=report.html export=true
"""

from omegaconf import DictConfig

from fedgan.config.command import command
from fedgan.config.typed.paths import paths_first


@paths_first
@command("report")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import report

    report.main(cfg)


if __name__ == "__main__":
    main()
