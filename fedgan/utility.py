"""What synthetic images are good for: classifiers trained with them, tried on real test images (Section 4.4).

python -m fedgan.utility run=outputs/train/2026-01-31_12-00-00 real_per_class=[1,10,50] synthetic_per_class=1000
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("utility")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import utility

    utility.main(cfg)


if __name__ == "__main__":
    main()
