"""Which runs the paper's tables and figures are made of, and with which settings (conf/scale/)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from experiments.running import Job, training
from fedgan.checks import check, check_int
from fedgan.evaluate import FILE_NAME as EVALUATION

SIZES = (16, 32, 64)  # of the trigger's side, in pixels of 256
NONE, FEDDETECT = "none", "feddetect"
BASELINES = ("reconstruction", "horizontal_flip", "rotation")  # of Tables 3 and 4, in their order
DEFENSES = (FEDDETECT, *BASELINES)
TITLES = {
    NONE: "attack",
    FEDDETECT: "FedDetect",
    "reconstruction": "reconstruction",
    "horizontal_flip": "horizontal flip",
    "rotation": "rotation",
}


@dataclass(frozen=True, order=True)
class Arm:
    """A federation of the paper's, or one of the controls that it lacks.

    Attributes:
        data: ``isic`` or ``chestx``.
        defense: as in conf/defense/.
        size: of the trigger's side in pixels of 256; 0 where nobody attacks.

    Example:
        >>> [str(Arm("isic", *which)) for which in (("none", 0), ("none", 32), ("rotation", 64), ("rotation", 0))]
        ['vanilla', 'attack 32', 'rotation 64', 'rotation, no attack']
    """

    data: str
    defense: str
    size: int

    def __str__(self) -> str:
        if self.size:
            return f"{TITLES[self.defense]} {self.size}"
        return "vanilla" if self.defense == NONE else f"{TITLES[self.defense]}, no attack"


def vanilla(data: str) -> Arm:
    """No attack, no defence: one and the same run in all tables and figures."""
    return Arm(data, NONE, 0)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """How a data set is trained on at a scale.

    Attributes:
        title: what people call it.
        settings: overrides of every run.
        defenses: further overrides, by defence.
        utility: overrides of the utility study.
        needs_root: whether it is read from a folder that the user has.
        root: that folder.
    """

    title: str
    settings: Sequence[str]
    defenses: Mapping[str, Sequence[str]]
    utility: Sequence[str]
    needs_root: bool
    root: str | None


class Plan:
    """Turns arms and seeds into runs at the scale that was asked for.

    Args:
        cfg: conf/reproduction.yaml, composed.

    Raises:
        ValueError: in one line, on settings that no component checks.
    """

    def __init__(self, cfg: DictConfig) -> None:
        seeds = list(cfg.seeds)
        for seed in seeds:
            check_int("each of seeds", seed, low=0)
        check(len(set(seeds)) == len(seeds) > 0, "seeds", "at least one, all different", seeds)
        check_int("jobs", cfg.jobs, low=1)
        check_int("threads", cfg.threads, low=1)
        self.seeds, self.jobs, self.threads = tuple(seeds), int(cfg.jobs), int(cfg.threads)
        self.runs, self.results = (Path(str(folder)).expanduser() for folder in (cfg.runs, cfg.results))
        scale = cfg.scale
        self.scale, self.overrides = str(scale.name), [*scale.settings, *cfg.overrides]
        self.sizes = pixels_of(list(scale.sizes), int(scale.image_size))
        self.null_settings, self.instead_of = tuple(scale["null"]), dict(scale.instead_of)
        self.utility_settings, self.classifiers = tuple(scale.utility), int(scale.classifiers)
        self.data = {name: DataSet(**scale.data[name], root=cfg[name]) for name in scale.data}

    def check_data(self, data: str) -> None:
        """Refuse to begin where a data set is wanted and not at hand."""
        own = self.data[data]
        check(not own.needs_root or own.root is not None, data, f"the folder of {own.title}", own.root)

    def arms(self, data: str, defense: str) -> list[Arm]:
        """This defence against every size of the trigger."""
        return [Arm(data, defense, size) for size in self.sizes]

    def folder(self, arm: Arm, seed: int) -> Path:
        """Where this arm's run with this seed lies, for all tables and figures."""
        attack = f"trigger_{arm.size}" if arm.size else "no_attack"
        return self.runs / arm.data / f"{arm.defense}-{attack}-seed_{seed}"

    def settings(self, arm: Arm, seed: int) -> list[str]:
        """The overrides of ``python -m fedgan.train``."""
        data = self.data[arm.data]
        pixels = self.sizes[arm.size] if arm.size else next(iter(self.sizes.values()))
        root = [f"dataset.root={data.root}"] if data.needs_root else []
        attack = [f"attack.size={pixels}", *([] if arm.size else ["attack.malicious=0"])]
        defense = [f"defense={arm.defense}", *data.defenses.get(arm.defense, ())]
        return [*data.settings, *root, *attack, *defense, f"seed={seed}", *self.overrides]

    def trainings(self, arms: Sequence[Arm]) -> list[Job]:
        """A run for each arm and seed, seed by seed: what is there after a stop can be compared."""
        return [
            training(f"{arm.data}: {arm}, seed {seed}", self.settings(arm, seed), self.folder(arm, seed))
            for seed in self.seeds
            for arm in dict.fromkeys(arms)
        ]

    def nulls(self, data: str) -> list[Job]:
        """For each attack, its trigger looked for in the run without attack."""
        return [self._null(arm, seed) for seed in self.seeds for arm in self.arms(data, NONE)]

    def _null(self, arm: Arm, seed: int) -> Job:
        run, control = self.folder(arm, seed), self.folder(vanilla(arm.data), seed)
        place = [] if self.data[arm.data].root is None else [f"root={self.data[arm.data].root}"]
        command = ("fedgan.evaluate", f"run={run}", f"control={control}", *place, *self.null_settings)
        return Job(f"{arm.data}: the null of {arm}, seed {seed}", run, command, lambda: is_scored(run, control))


def pixels_of(sizes: Sequence[int], image_size: int) -> dict[int, int]:
    """The trigger's side in an image of ``image_size`` pixels, by its side at 256 x 256: the same share of the area.

    Example:
        >>> pixels_of([16, 64], image_size=32)
        {16: 2, 64: 8}
    """
    known = len(sizes) > 0 and set(sizes) <= set(SIZES)
    check(known, "scale.sizes", f"some of the paper's {', '.join(map(str, SIZES))}", sizes)
    check_int("scale.image_size", image_size, low=16)
    return {size: size * image_size // 256 for size in sizes}


def is_scored(run: Path, control: Path) -> bool:
    """Whether the run's evaluation.json is about these two generators."""
    file = run / EVALUATION
    if not file.is_file():
        return False
    scored = json.loads(file.read_text())
    sides = (("generator_sha256", run), ("control_generator_sha256", control))
    return all(
        scored.get(key) == json.loads((folder / "summary.json").read_text())["generator_sha256"]
        for key, folder in sides
    )
