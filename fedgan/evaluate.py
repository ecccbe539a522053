"""Score a finished run again, without training, also one made on another machine.

python -m fedgan.evaluate run=outputs/train/2026-01-31_12-00-00 control=outputs/train/2026-01-31_13-00-00
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("evaluate")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import evaluation

    evaluation.main(cfg)


if __name__ == "__main__":
    main()
