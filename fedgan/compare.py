"""Runs of any sweep side by side, as a table and as curves.

python -m fedgan.compare outputs/train/2026-01-31_12-00-00 x=attack.size by=defense
"""

from omegaconf import DictConfig

from fedgan.config.command import command
from fedgan.config.typed.paths import paths_first


@paths_first
@command("compare")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports pandas late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import comparing

    comparing.main(cfg)


if __name__ == "__main__":
    main()
