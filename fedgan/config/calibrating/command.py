"""What ``python -m fedgan.calibrate`` does behind its door: control runs are trained or taken, and a file is left."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, MinLen, Predicate
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from fedgan.config.calibrating.measuring import calibrate
from fedgan.config.next_steps import setting
from fedgan.config.refusals import config_folders
from fedgan.config.screen import screen
from fedgan.config.sweeps.subcommand import call
from fedgan.config.typed.choices import parsed
from fedgan.config.typed.paths import quoted
from fedgan.core.arguments import Allowed, Count, NonNegative, Numbers, PathText, checked, validated
from fedgan.core.checks import check, check_at_least
from fedgan.core.folders import check_makeable
from fedgan.core.words import counted
from fedgan.defenses.base import Defense
from fedgan.defenses.calibration import Calibration, LossName, is_calibration
from fedgan.federated.server import HOOKS
from fedgan.reports.run import Run, SearchedFolder, run_folders

FILE_NAME = "calibration.json"
RUNS = "runs"  # in the command's folder
FIRST_SEED = 1000
FEW = 10  # runs, of which fewer say little about the largest
# A detector that measures loss_g_final and, set to so wide a spread, flags nobody.
NEVER_ACTS = {"defense.feddetect_cusum.loss": "loss_g_final", "defense.feddetect_cusum.spread": "1e9"}
THEIRS = ("seed", "fl.malicious", "resume")  # settings of the control runs that this command sets


def _is_free(out: Path) -> bool:
    return not os.path.lexists(out) or is_calibration(out)


CalibrationFile = Annotated[Path, Predicate(_is_free), Allowed("a new file, or one that fedgan.calibrate has written")]


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/calibrate.yaml."""

    runs: Annotated[Sequence[PathText], MinLen(1), Allowed("a list of folders of finished runs")] | None
    seeds: Annotated[Count | Numbers, Allowed("a number of at least 1, or a list of different seeds")]
    train: Sequence[str]
    loss: LossName
    warmup: NonNegative
    least: Annotated[int, Ge(2)]
    out: PathText | None


def main(cfg: DictConfig) -> None:
    """Train the control runs or take those that there are, and leave the file."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings(**plain)
    folder = Path(HydraConfig.get().runtime.output_dir)
    out = folder / FILE_NAME if settings.out is None else Path(settings.out).expanduser()
    check_out(out)
    folders = train(settings, folder) if settings.runs is None else given(settings)
    runs = [Run(path) for place in folders for path in run_folders(place)]
    check_at_least("runs", len(runs), settings.least, " runs, which least= sets")
    calibration = calibrate(runs, settings.loss, settings.warmup)
    out.parent.mkdir(parents=True, exist_ok=True)
    calibration.write(out)
    show(calibration, out)
    print(out)


def check_out(out: Path) -> None:
    """Refuse, before anything is trained, a file that cannot be written or that no calibration has left.

    Raises:
        ValueError: in one line.
    """
    check_makeable("out", out.parent)
    validated("out", CalibrationFile, out)


def given(settings: Settings) -> list[Path]:
    """The folders that were typed.

    Raises:
        ValueError: in one line, if one has no run in it, or settings of fedgan.train were typed next to them.
    """
    assert settings.runs is not None
    check(
        not settings.train,
        "runs",
        f"typed without settings of fedgan.train ({' '.join(settings.train)})",
        settings.runs,
    )
    folders = [Path(path).expanduser() for path in settings.runs]
    for folder in folders:
        validated("runs", SearchedFolder, folder)
    return folders


def train(settings: Settings, folder: Path) -> list[Path]:
    """Train the control runs by ``fedgan.train``, one after the other; those that are done already stay.

    Returns:
        The folder that they are in.

    Raises:
        ValueError: in one line, if settings do not fit, or a run was refused or failed.
        Interrupted: if a signal stopped them.
    """
    seeds = seeds_of(settings.seeds)
    check_at_least("seeds", len(seeds), settings.least, " of them, which least= sets")
    own = control_settings(settings.train, settings.loss)
    resumes = f"{setting('hydra.run.dir', str(folder))} next to the same settings resumes"
    where = (f"hydra.sweep.dir={quoted(str(folder / RUNS))}", "hydra.sweep.subdir='seed_${seed}'")
    runs = f"seed={','.join(map(str, seeds))}"
    folders = [f"--config-dir={folder.absolute()}" for folder in config_folders()[1:]]
    code = call("fedgan.train", *folders, "-m", *own, runs, "fl.malicious=0", "resume=auto", *where, resumes=resumes)
    if code:
        raise ValueError(f"train: not all control runs were trained, for the reasons above; {resumes}")
    return [folder / RUNS]


def seeds_of(given: int | Sequence[int]) -> list[int]:
    """A number of seeds, or those that are listed.

    Example:
        >>> seeds_of(3), seeds_of([7, 5])
        ([1000, 1001, 1002], [7, 5])
    """
    return [FIRST_SEED + i for i in range(given)] if isinstance(given, int) else list(given)


def control_settings(typed: Sequence[str], loss: str) -> list[str]:
    """What control runs are trained with: as typed, not scored or logged, and reporting the loss.

    ``loss_g_final`` is measured for a defense alone: for a ``feddetect_cusum`` that never acts.

    Raises:
        ValueError: in one line, if a setting is typed that this command sets, or a defense that acts.

    Example:
        >>> control_settings(["dataset=chestx"], "loss_g_arrival")
        ['metrics=[none]', 'logger=none', 'model.arrival_samples=256', 'dataset=chestx']
        >>> control_settings(["defense=rotation"], "loss_g_final")[-1]
        'defense=[rotation,feddetect_cusum]'
    """
    names = [each.partition("=")[0].lstrip("+~") for each in typed]
    for name in THEIRS:
        check(name not in names, name, "left away: control runs have seeds=, and nobody attacks them", " ".join(typed))
    defenses = defenses_of(typed)
    acting = [name for name in defenses if name != "none" and acts_at_server(name)]
    check(not acting, "defense", "without those that act on updates, which control runs do without", acting)
    wanted = {"metrics": "[none]", "logger": "none"}
    wanted |= {"model.arrival_samples": "256"} if loss == "loss_g_arrival" else {}
    others = [each for each in typed if each.partition("=")[0] != "defense"] if loss == "loss_g_final" else list(typed)
    if loss == "loss_g_final":
        wanted |= NEVER_ACTS
        others.append(f"defense=[{','.join([*(name for name in defenses if name != 'none'), 'feddetect_cusum'])}]")
    return [*(f"{name}={value}" for name, value in wanted.items() if name not in names), *others]


def defenses_of(typed: Sequence[str]) -> list[str]:
    """The names that a typed ``defense=`` chooses.

    Example:
        >>> defenses_of(["fl.rounds=3", "defense=[rotation,median]"]), defenses_of(["defense=krum"])
        (['rotation', 'median'], ['krum'])
    """
    values = [each.value() for each in parsed(typed) if each.key_or_group == "defense"]
    return [str(name) for value in values for name in (value if isinstance(value, list) else [value])]


def acts_at_server(name: str) -> bool:
    """Whether a choice of ``defense=`` acts on updates, weights or the aggregate; False where there is no such choice.

    Example:
        >>> acts_at_server("median"), acts_at_server("rotation")
        (True, False)
    """
    files = [file for folder in config_folders() if (file := folder / "defense" / f"{name}.yaml").is_file()]
    target = OmegaConf.select(OmegaConf.load(files[0]), "_target_") if files else None
    try:
        kind = Defense if target is None else get_class(str(target))
    except ImportError:  # fedgan.train says so
        return False
    return any(getattr(kind, hook) is not getattr(Defense, hook) for hook in HOOKS)


def show(calibration: Calibration, out: Path) -> None:
    """Each run's spread, what is taken, and how it is used."""
    table = Table(title=f"standard deviation of {described(calibration)} between clients")
    for column in ("run", "seed", "spread"):
        table.add_column(column, overflow="fold")
    for (run, spread), seed in zip(calibration.runs.items(), calibration.seeds, strict=True):
        table.add_row(run, str(seed), f"{spread:.4f}")
    screen(stderr=True).print(table)
    count = len(calibration.runs)
    largest, rms = f"{calibration.spread:.4f}", f"{calibration.rms:.4f}"
    print(f"spread {largest}, the largest of {counted(count, 'run')} (root mean square {rms})", file=sys.stderr)
    if count < FEW:
        print(f"warning: of {counted(count, 'run')} the largest spread says little; take {FEW}", file=sys.stderr)
    use = f"defense=feddetect_cusum {setting('defense.feddetect_cusum.spread', str(out))}"
    named = "" if calibration.loss == "loss_g" else f" defense.feddetect_cusum.loss={calibration.loss}"
    print(f"next: python -m fedgan.train {use}{named}", file=sys.stderr)


def described(calibration: Calibration) -> str:
    """The loss, and whether its logarithm is meant."""
    return f"log {calibration.loss}" if calibration.scale == "log" else calibration.loss
