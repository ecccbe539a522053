"""The hospital's result: a labeled synthetic data set, drawn by a finished run's generator.

python -m fedgan.sample run=outputs/train/2026-01-31_12-00-00 per_class=1000 out=PATH
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("sample")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import sampling

    sampling.main(cfg)


if __name__ == "__main__":
    main()
