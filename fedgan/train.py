"""The main job: train a federated GAN, attacked and defended, and leave a run's folder.

python -m fedgan.train dataset=chestx dataset.root=PATH attack=white_square defense=feddetect
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("config")
def main(cfg: DictConfig) -> float | None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.config import training

    return training.main(cfg)


if __name__ == "__main__":
    main()
