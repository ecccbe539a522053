"""What synthetic images are good for: classifiers trained with them, tried on real test images (Section 4.4).

python -m fedgan.utility run=outputs/train/2026-01-31_12-00-00 real_per_class=[1,10,50] synthetic_per_class=1000
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen, Predicate
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedgan.config.next_steps import report_of
from fedgan.config.refusals import Interrupted
from fedgan.config.screen import screen
from fedgan.config.validate import FinishedRunFolder
from fedgan.core.arguments import Allowed, Numbers, PathText, checked, validated
from fedgan.core.checks import check
from fedgan.core.files import write_json, write_table
from fedgan.core.folders import check_own, claim, fits_folder
from fedgan.core.images import Splits
from fedgan.core.precision import repeatable
from fedgan.core.words import counted
from fedgan.downstream.learning_curve import Difference, Fit, Point, curve, differences, draw_curve
from fedgan.downstream.study import UtilityStudy
from fedgan.runs.allowlist import Packages
from fedgan.runs.load import FinishedRun, check_same_data, open_run
from fedgan.runs.provenance import git_state, versions

WRITTEN = ("utility.json", "results.csv", "curve.csv", "differences.csv", "curve.png", "fits")
REAL_ONLY = "real only"
ARM_OF_ONE_RUN = "real + synthetic"
Key = tuple[str, int, int]  # arm, seed, real images per class


def _fit_arms(runs: Mapping[Any, Any]) -> bool:
    return all(fits_folder(str(arm)) and arm != REAL_ONLY for arm in runs)


Runs = Annotated[
    Mapping[Any, Any],
    MinLen(1),
    Predicate(_fit_arms),
    Allowed(
        "finished runs' folders, each under the name of its arm: {name: PATH}, "
        f"where a name is one that a folder can have, other than {REAL_ONLY!r}"
    ),
]


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/utility.yaml but for the study's and the classifier's, which check theirs."""

    run: FinishedRunFolder | None
    runs: Runs | None
    trust: Packages
    root: PathText | None
    real_per_class: Numbers
    seeds: Numbers

    def __post_init__(self) -> None:
        both = f"run={self.run} and runs={self.runs}"
        check((self.run is None) != (self.runs is None), "run or runs", "given, one of them and not both", both)


def main(cfg: DictConfig) -> None:
    """Train what is not in this folder yet, then show the curve."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings(**{field.name: plain[field.name] for field in fields(Settings)})

    recipe = instantiate(cfg.classifier, _convert_="all")
    runs = open_runs(settings)
    study = UtilityStudy(runs, recipe, synthetic_per_class=cfg.synthetic_per_class, test_per_class=cfg.test_per_class)
    study.check_real(settings.real_per_class)
    write_record(folder, cfg, runs)
    arms, counts = (REAL_ONLY, *runs), sorted(settings.real_per_class)
    plan = [(arm, seed, n) for arm in arms for seed in settings.seeds for n in counts if n > 0 or arm in runs]
    with repeatable(recipe.device.type):
        fits = carry_out(study, plan, folder)
    show(fits, folder, title_of(cfg, runs))
    print(report_of([run.folder for run in runs.values()]), file=sys.stderr)


def open_runs(settings: Settings) -> dict[str, FinishedRun]:
    """The finished runs by the names of their arms; all on the same data."""
    named = {f"runs.{arm}": folder for arm, folder in settings.runs.items()} if settings.runs else {"run": settings.run}
    for setting, folder in named.items():
        validated(setting, FinishedRunFolder, folder)
    root, trust = settings.root, settings.trust
    opened = [open_run(Path(str(folder)).expanduser(), root, trust, setting) for setting, folder in named.items()]
    for setting, run in zip(named, opened, strict=True):
        check_same_data(setting, run, opened[0], ["train", "test"])
    return dict(zip(map(str, settings.runs or [ARM_OF_ONE_RUN]), opened, strict=True))


def fingerprints(splits: Splits) -> dict[str, str]:
    """What distinguishes this data set from any other."""
    return {"train": splits.train.fingerprint, "test": splits.test.fingerprint}


def title_of(cfg: DictConfig, runs: Mapping[str, FinishedRun]) -> str:
    """The picture's and the table's."""
    name = next(iter(runs.values())).splits.name
    seeds = counted(len(cfg.seeds), "seed")
    return f"{name}, {cfg.synthetic_per_class} synthetic images per class, mean ± std over {seeds}"


def write_record(folder: Path, cfg: DictConfig, runs: Mapping[str, FinishedRun]) -> None:
    """Write utility.json: what the fits depend on, and what made them.

    Raises:
        ValueError: in one line, if the folder's fits were made otherwise. Seeds, numbers of real images and runs
            may come and go: they choose among fits.
    """
    check_own(folder, WRITTEN[0], "hydra.run.dir")
    claim(folder, WRITTEN, "hydra.run.dir")
    path = folder / "utility.json"
    now: dict[str, Any] = {
        "settings": OmegaConf.to_container(cfg, resolve=True),
        "data": fingerprints(next(iter(runs.values())).splits),
        "generators": {arm: run.release.sha256 for arm, run in runs.items()},
    }
    if path.is_file():
        before = json.loads(path.read_text())
        earlier = basis(before)
        changed = [name for name, value in basis(now).items() if earlier.get(name, value) != value]
        check(not changed, "hydra.run.dir", f"a folder without fits of another {' and '.join(changed)}", str(folder))
        now["generators"] = before["generators"] | now["generators"]
        earlier_start = {key: before.get(key) for key in ("git", "versions")}
        now["resumed"] = [*before.get("resumed", []), earlier_start]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, now | {"git": git_state(), "versions": versions()})


def basis(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the fits of a study depend on, by name, out of its utility.json."""
    settings = {name: record["settings"][name] for name in ("classifier", "synthetic_per_class", "test_per_class")}
    generators = {f"generator of {arm}": sha256 for arm, sha256 in record["generators"].items()}
    return settings | {"data set": record["data"]} | generators


def carry_out(study: UtilityStudy, plan: Sequence[Key], folder: Path) -> list[Fit]:
    """All fits of the plan; those that the folder has are not repeated. results.csv grows with every other.

    Raises:
        Interrupted: if a signal stopped it.
    """
    files = {(arm, seed, n): folder / "fits" / arm / f"seed_{seed}_real_{n}.json" for arm, seed, n in plan}
    fits = {key: read_fit(files[key]) for key in plan if files[key].is_file()}
    missing = [key for key in plan if key not in fits]
    try:
        for arm, seed, n in track(missing, "training classifiers", console=Console(stderr=True)):
            fits[arm, seed, n] = study.fit(arm, n, seed)
            file = files[arm, seed, n]
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, asdict(fits[arm, seed, n]))
            write_csv(folder / "results.csv", Fit, [fits[key] for key in plan if key in fits])
    except KeyboardInterrupt:
        again = f"the same command with hydra.run.dir={folder}"
        raise Interrupted(f"stopped after {len(fits)} of {counted(len(plan), 'fit')}; to continue: {again}") from None
    return [fits[key] for key in plan]


def read_fit(file: Path) -> Fit:
    """A fit that an earlier start of the study has left."""
    return Fit(**json.loads(file.read_text()))


def write_csv(path: Path, kind: type[Any], rows: Sequence[Any]) -> None:
    """Write dataclass instances as CSV, a field a column (the answers left out), whole or not at all."""
    columns = [field.name for field in fields(kind) if field.name != "correct"]
    write_table(path, columns, [{name: getattr(row, name) for name in columns} for row in rows])


def show(fits: Sequence[Fit], folder: Path, title: str) -> None:
    """Write the tables and the picture; print the curve and the picture's path."""
    points = curve(fits)
    write_csv(folder / "results.csv", Fit, fits)
    write_csv(folder / "curve.csv", Point, points)
    write_csv(folder / "differences.csv", Difference, differences(fits))
    draw_curve(points, folder / "curve.png", title=title)
    screen().print(table_of(points, title))
    print(folder / "curve.png")


def table_of(points: Sequence[Point], title: str) -> Any:
    """The curve as a rich table: one row per number of real images, one column per arm."""
    cells = {(point.real_per_class, point.arm): cell(point) for point in points}
    arms = dict.fromkeys(point.arm for point in points)
    table = Table("real images per class", *arms, title=title)
    for n in sorted({point.real_per_class for point in points}):
        table.add_row(str(n), *(cells.get((n, arm), "-") for arm in arms))
    return table


def cell(point: Point) -> str:
    """Mean accuracy, and the standard deviation where there is more than one seed."""
    return f"{point.mean:.3f}" + ("" if point.std is None else f" ± {point.std:.3f}")
