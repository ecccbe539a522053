"""How far apart honest clients' losses are, measured on control runs: the spread of ``defense=feddetect_cusum``.

python -m fedgan.calibrate seeds=10 dataset=chestx dataset.root=PATH
"""

from omegaconf import DictConfig

from fedgan.config.command import command
from fedgan.config.typed.paths import others_as

OWN = ("runs", "seeds", "train", "loss", "warmup", "least", "out")  # all else is fedgan.train's


@others_as("train", OWN)
@command("calibrate")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports pandas late, so that --help and a misspelled setting do not wait."""
    from fedgan.config.calibrating import command as calibrating

    calibrating.main(cfg)


if __name__ == "__main__":
    main()
