"""Which runs the paper's tables and figures are made of, and with which settings (conf/scale/)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from omegaconf import DictConfig, OmegaConf
from torchvision.models import AlexNet_Weights

from experiments.measures import AUDIT, CONTROL, FEDDETECTS
from experiments.multirun import Job, launcher_of
from experiments.paper.runs import check_settings, composed, settings_of
from experiments.settings import checked_overrides, checked_seeds, listed, quoted
from fedgan.config.refusals import CONF
from fedgan.config.resume import leaves
from fedgan.core.arguments import Count, validated
from fedgan.core.checks import check
from fedgan.metrics.base import Unavailable
from fedgan.metrics.lpips import build_lpips
from fedgan.metrics.pretrained.weights import WeightsFile, pretrained

KEPT = Path(__file__).parents[1] / "results"
SIZES = (16, 32, 64)  # of the trigger's side, in pixels of 256
PAPERS_DATA = {"isic": "ISIC", "chestx": "ChestX"}
NONE, FEDDETECT = "none", FEDDETECTS[0]  # the paper's exact rule
BASELINES = ("reconstruction", "horizontal_flip", "rotation")  # of Tables 3 and 4, in their order
DEFENSES = (*FEDDETECTS, AUDIT, *BASELINES)
CENTRALIZED = "centralized"  # in a defense's place: no federation, which nobody attacks
# In the order in which they are trained: what most claims are about comes first, should time run out.
STAGES: dict[str, tuple[str, ...]] = {
    "attack, no defense, centralized": (NONE, CENTRALIZED),
    "FedDetect, generator audit": (FEDDETECT, AUDIT),
    "other rules, baselines": tuple(name for name in DEFENSES if name not in (FEDDETECT, AUDIT)),
}
TITLES = {
    NONE: "attack",
    CENTRALIZED: "centralized",
    FEDDETECT: "FedDetect",
    "feddetect_code": "FedDetect (code)",
    "feddetect_mean": "FedDetect (mean)",
    AUDIT: "generator audit",
    "reconstruction": "reconstruction",
    "horizontal_flip": "horizontal flip",
    "rotation": "rotation",
}


@dataclass(frozen=True, order=True)
class Arm:
    """A federation of the paper's, or one of the controls that it lacks.

    Attributes:
        data: ``isic`` or ``chestx``.
        defense: as in conf/defense/, or ``CENTRALIZED``.
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
        alone = {NONE: "vanilla", CENTRALIZED: TITLES[CENTRALIZED]}
        return alone.get(self.defense, f"{TITLES[self.defense]}, no attack")

    @property
    def option(self) -> str:
        """Its file in conf/arm/; a defense's own, attacked or not."""
        undefended = "attack" if self.size else "vanilla"
        return undefended if self.defense == NONE else self.defense

    @property
    def stage(self) -> str:
        """Of ``STAGES``, the one in which it is trained."""
        return next(stage for stage, defenses in STAGES.items() if self.defense in defenses)

    @property
    def place(self) -> str:
        """Of the two folders with runs on a data set, which."""
        return "attacked" if self.size else "not_attacked"


def vanilla(data: str) -> Arm:
    """No attack, no defense: one and the same run in all tables and figures."""
    return Arm(data, NONE, 0)


def centralized(data: str) -> Arm:
    """No federation: one client has all images."""
    return Arm(data, CENTRALIZED, 0)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """How a data set is trained on at a scale.

    Attributes:
        name: ``isic`` or ``chestx``.
        title: what it is at this scale.
        settings: overrides of every run.
        utility: overrides of the utility study.
        needs_root: whether it is read from a folder that the user has.
        seconds: that a run, a look at its control and one seed of Figure 7's classifiers may take.
        root: that folder; None for drawn data, wherever the user has others.
    """

    name: str
    title: str
    settings: Sequence[str]
    utility: Sequence[str]
    needs_root: bool
    seconds: Mapping[str, float]
    root: str | None

    def place(self, key: str) -> list[str]:
        """The override ``key`` that says where the data are; none for drawn data."""
        return [] if self.root is None else [f"{key}={quoted(self.root)}"]


@dataclass(frozen=True)
class Sweep:
    """Runs that one multirun makes: arms of a data set, by seed and by the sizes of the trigger.

    Attributes:
        data: the data set.
        stage: of ``STAGES``.
        folder: where the runs' folders are.
        subdir: a run's folder in it, with Hydra's interpolations.
        overrides: of ``python -m fedgan.train -m``.
        runs: the folders of all its runs.
    """

    data: str
    stage: str
    folder: Path
    subdir: str
    overrides: tuple[str, ...]
    runs: tuple[Path, ...]


class Plan:
    """Turns arms and seeds into runs at the chosen scale.

    Args:
        cfg: conf/paper.yaml, composed.

    Raises:
        ValueError: in one line, on settings that no component checks.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.seeds, self.changes = checked_seeds(cfg.seeds), checked_overrides(cfg.overrides)
        check_kept(cfg)
        validated("threads", Count, cfg.threads)
        self.dry_run = validated("dry_run", bool, cfg.dry_run)
        self.launcher, self.threads = launcher_of(cfg.launcher), int(cfg.threads)
        self.runs, self.results = (Path(str(folder)).expanduser() for folder in (cfg.runs, cfg.results))
        self.kept = None if cfg.kept is None else Path(str(cfg.kept)).expanduser()
        scale = cfg.scale
        self.scale, self.overrides = str(scale.name), [*scale.settings, *self.changes]
        self.alexnet = None if cfg.alexnet is None else validated("alexnet", WeightsFile, str(cfg.alexnet))
        self.sizes = pixels_of(list(scale.sizes), int(scale.image_size))
        self.smallest = pixels_of(SIZES[:1], int(scale.image_size))[SIZES[0]]
        self.control_settings, self.instead_of = tuple(scale.control), dict(scale.instead_of)
        self.utility_settings, self.classifiers = tuple(scale.utility), int(scale.classifiers)
        roots = {name: str(cfg[name]) for name, part in scale.data.items() if part.needs_root and cfg[name] is not None}
        self.data = {name: DataSet(name=name, **part, root=roots.get(name)) for name, part in scale.data.items()}

    def check_means(self, arms: Sequence[Arm]) -> None:
        """Refuse to train where something is missing that these arms need.

        Raises:
            ValueError: in one line.
        """
        for data in dict.fromkeys(arm.data for arm in arms):
            self.check_data(data)
        self.check_device()
        self.check_weights()

    def check_runs(self, arms: Sequence[Arm]) -> None:
        """Refuse runs that are there with other settings than these, and a federation that would pass for none.

        Raises:
            ValueError: in one line.
        """
        for arm in arms:
            if arm.defense == CENTRALIZED:
                clients = settings_of(tuple(self.settings([arm], self.seeds[:1])))["fl.num_clients"]
                check(clients == 1, "overrides", "without fl.num_clients next to centralized training", clients)
            for seed in self.seeds:
                check_settings(self.folder(arm, seed), self.settings([arm], [seed]))

    def check_weights(self) -> None:
        """Refuse to begin where LPIPS is wanted and AlexNet is neither there nor can be downloaded.

        Raises:
            ValueError: in one line.
        """
        if "lpips" in self.instead_of:
            return
        try:
            pretrained(build_lpips, setting="alexnet", weights=self.alexnet, url=AlexNet_Weights.IMAGENET1K_V1.url)
        except Unavailable as reason:
            raise ValueError(str(reason)) from reason

    def check_device(self) -> None:
        """Refuse to begin what wants a GPU where there is none.

        Raises:
            ValueError: in one line.
        """
        here = not any("submitit" in override for override in self.launcher)  # or on a cluster's nodes
        wanted = here and any(override.startswith("trainer=gpu") for override in self.overrides)
        check(not wanted or torch.cuda.is_available(), "scale", "small: no GPU is to be found here", self.scale)

    def check_data(self, data: str) -> None:
        """Refuse to begin where a data set is wanted and missing."""
        own = self.data[data]
        there = own.root is not None and Path(own.root).expanduser().is_dir()
        check(not own.needs_root or there, data, f"the folder of {own.title}", own.root)

    def arms(self, data: str, defense: str) -> list[Arm]:
        """This defense against every size of the trigger; none of centralized training."""
        return [Arm(data, defense, size) for size in self.sizes if defense != CENTRALIZED]

    def folder(self, arm: Arm, seed: int) -> Path:
        """Where this arm's run with this seed is, for all tables and figures."""
        size = f"-size_{self.pixels(arm)}" if arm.size else ""
        return self.runs / arm.data / arm.place / f"{arm.option}{size}-seed_{seed}"

    def folders(self, arms: Sequence[Arm]) -> list[Path]:
        """The folders of all runs of these arms."""
        return [self.folder(arm, seed) for arm in arms for seed in self.seeds]

    def pixels(self, arm: Arm) -> int:
        """The side of the trigger that is painted or, where nobody attacks, looked for."""
        # There it is the smallest, whichever sizes are wanted: one run for all of them.
        return self.sizes[arm.size] if arm.size else self.smallest

    def settings(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[str]:
        """The overrides of ``python -m fedgan.train`` for one run or several (-m) of one data set and place."""
        own, attacked = self.data[arms[0].data], arms[0].size > 0
        varying = {
            "seed": seeds,
            "attack.size": dict.fromkeys(map(self.pixels, arms)),
            "arm": dict.fromkeys(arm.option for arm in arms),
        }
        control = [] if attacked else ["fl.malicious=0"]
        weights = [] if self.alexnet is None else [f"++metrics.lpips.weights={quoted(self.alexnet)}"]
        swept = [listed(key, values) for key, values in varying.items()]
        return [*own.settings, *own.place("dataset.root"), *control, *swept, *self.overrides, *weights]

    def sweeps(self, arms: Sequence[Arm]) -> list[Sweep]:
        """The multiruns that make these arms' runs, stage by stage.

        Within one it goes seed by seed: what is there after a stop can be compared.
        """
        sizes: dict[tuple[str, str, str], list[Arm]] = {}
        for arm in sorted(dict.fromkeys(arms), key=lambda arm: list(STAGES).index(arm.stage)):
            sizes.setdefault((arm.data, arm.place, arm.option), []).append(arm)
        groups: dict[tuple[str, str, tuple[int, ...]], list[Arm]] = {}  # arms of the same sizes are one product
        for (data, _, _), own in sizes.items():
            groups.setdefault((own[0].stage, data, tuple(arm.size for arm in own)), []).extend(own)
        return [self._sweep(own) for own in groups.values()]

    def controls(self, arms: Sequence[Arm]) -> list[Job]:
        """For each attack, its trigger looked for in its own images and in those of the same defense without attack."""
        return [self._control(arm, seed) for seed in self.seeds for arm in arms if arm.size]

    def _sweep(self, arms: Sequence[Arm]) -> Sweep:
        folder, size = self.folder(arms[0], 0).parent, "-size_${attack.size}" if arms[0].size else ""
        subdir = f"${{hydra.runtime.choices.arm}}{size}-seed_${{seed}}"
        overrides, runs = tuple(self.settings(arms, self.seeds)), tuple(self.folders(arms))
        return Sweep(arms[0].data, arms[0].stage, folder, subdir, overrides, runs)

    def _control(self, arm: Arm, seed: int) -> Job:
        run, control = self.folder(arm, seed), self.folder(Arm(arm.data, arm.defense, 0), seed)
        return control_job(run, control, self.control_settings, self.data[arm.data].place("root"))


def check_kept(cfg: DictConfig) -> None:
    """Refuse results and records of runs that would be taken for the ones in version control and are others.

    Raises:
        ValueError: in one line, if a folder within experiments/results would get metrics of fewer than three seeds,
            or the folder of a scale those of a scale that was changed.
    """
    for setting in ("results", "kept"):
        folder = Path("/" if cfg[setting] is None else str(cfg[setting])).expanduser().resolve()
        if KEPT not in folder.parents:
            continue
        other = f"(or give {setting}= another folder than {cfg[setting]})"
        if setting == "results":
            check(len(cfg.seeds) >= 3, "seeds", f"at least three where results are kept {other}", list(cfg.seeds))
        if KEPT / cfg.scale.name in (folder, *folder.parents):
            as_shipped = OmegaConf.load(CONF / "scale" / f"{cfg.scale.name}.yaml")
            same = leaves(OmegaConf.create({"scale": as_shipped})) == leaves(OmegaConf.create({"scale": cfg.scale}))
            check(same, "scale", f"conf/scale/{cfg.scale.name}.yaml as it is {other}", "a changed one")
            check(not cfg.overrides, "overrides", f"none {other}", list(cfg.overrides))


def stand_ins() -> dict[str, str]:
    """The metrics that some scale has in the stead of others.

    Example:
        >>> stand_ins()
        {'lpips': 'lpips_classifier'}
    """
    scales = [OmegaConf.load(file) for file in sorted((CONF / "scale").glob("*.yaml"))]
    return {str(wanted): str(other) for scale in scales for wanted, other in scale.instead_of.items()}


def pixels_of(sizes: Sequence[int], image_size: int) -> dict[int, int]:
    """The trigger's side in an image of ``image_size`` pixels, by its side at 256 x 256: the same share of the area.

    Example:
        >>> pixels_of([16, 64], image_size=32)
        {16: 2, 64: 8}
    """
    known = len(sizes) > 0 and set(sizes) <= set(SIZES)
    check(known, "scale.sizes", f"some of the paper's {', '.join(map(str, SIZES))}", sizes)
    validated("scale.image_size", Annotated[int, Ge(16)], image_size)
    return {size: size * image_size // 256 for size in sizes}


def control_job(run: Path, control: Path, settings: tuple[str, ...], place: Sequence[str] = ()) -> Job:
    """Score a run and its control, with the run's trigger, into the run's folder.

    Args:
        run: its folder.
        control: the folder of a run without attack.
        settings: how, as overrides of ``python -m fedgan.evaluate``.
        place: where the images are, likewise; by default where the run found them.
    """
    sides = {name: str(path.absolute()) for name, path in (("run", run), ("control", control), ("out", run / CONTROL))}
    done = partial(is_scored, run, control, settings)
    return Job("fedgan.evaluate", run, sides, (*place, *settings), done, (run, control))


def is_scored(run: Path, control: Path, settings: Sequence[str]) -> bool:
    """Whether the run's control is about these two generators, looked at in this way."""
    file = run / CONTROL
    if not file.is_file():
        return False
    scored = json.loads(file.read_text())
    sides = {"generator_sha256": run, "control_generator_sha256": control}
    same = all(scored.get(key) == generator_of(folder) for key, folder in sides.items())
    wanted = _evaluation(tuple(settings))
    return same and all(scored.get(key) == wanted[key] for key in ("settings", "samples_per_class", "latent_seed"))


def generator_of(run: Path) -> str | None:
    """The hash of a finished run's generator."""
    file = run / "summary.json"
    return str(json.loads(file.read_text())["generator_sha256"]) if file.is_file() else None


@cache
def _evaluation(settings: tuple[str, ...]) -> dict[str, Any]:
    """The settings that evaluation.json records."""
    cfg = composed("evaluate", settings)
    chosen = {"samples_per_class": cfg.samples_per_class, "latent_seed": cfg.latent_seed}
    return chosen | {"settings": OmegaConf.to_container(cfg.metrics, resolve=True)}
