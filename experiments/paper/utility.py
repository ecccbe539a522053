"""The classifiers behind Figure 7: a utility study for each data set and seed of the generators."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from experiments.multirun import Job
from experiments.paper.plan import Arm, Plan, generator_of
from experiments.paper.runs import composed
from fedgan.config.utility import REAL_ONLY

RECORD, FITS = "utility.json", "fits"  # in a study's folder
DECISIVE = ("classifier", "synthetic_per_class", "test_per_class")  # of a study's settings; the rest chooses among fits


@dataclass(frozen=True)
class Study:
    """``python -m fedgan.utility`` for the generators of one seed.

    Attributes:
        folder: where its classifiers are.
        runs: the generators' runs, by the names of their curves.
        settings: overrides.
        seeds: of the classifiers.
        place: the override that says where the data are; a data set that was moved is the same.
    """

    folder: Path
    runs: Mapping[str, Path]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    place: tuple[str, ...]

    def job(self) -> Job:
        """What is to be done for it."""
        own = {"runs": {name: str(run.absolute()) for name, run in self.runs.items()}, "seeds": list(self.seeds)}
        shared, runs = (*self.settings, *self.place), tuple(self.runs.values())
        return Job("fedgan.utility", self.folder, own, shared, self.is_done, runs)

    def is_done(self) -> bool:
        """Whether all classifiers are there, made in this way, with the images of these generators."""
        if not (self.folder / RECORD).is_file():
            return False
        record, composed = self.record(), _composed(self.settings)
        same = all(record["settings"].get(name) == composed[name] for name in DECISIVE)
        own = {name: generator_of(run) for name, run in self.runs.items()}.items() <= record["generators"].items()
        return same and own and all(fit.is_file() for fit in self._files().values())

    def fits(self) -> dict[tuple[str, int], list[dict[str, Any]]]:
        """What the classifiers came to, by curve and number of real images, one for each of ``seeds``."""
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for (arm, n, _), file in self._files().items():
            found.setdefault((arm, n), []).append(json.loads(file.read_text()))
        return found

    def record(self) -> dict[str, Any]:
        """What utility.json says: the settings, and what made the classifiers."""
        return dict(json.loads((self.folder / RECORD).read_text()))

    def _files(self) -> dict[tuple[str, int, int], Path]:
        arms, counts = (REAL_ONLY, *self.runs), _composed(self.settings)["real_per_class"]
        keys = [(arm, n, seed) for arm in arms for n in counts if n or arm in self.runs for seed in self.seeds]
        fits = self.folder / FITS
        return {(arm, n, seed): fits / arm / f"seed_{seed}_real_{n}.json" for arm, n, seed in keys}


def studies(plan: Plan, data: str, arms: Mapping[str, Arm]) -> dict[int, Study]:
    """A study for each seed of the generators."""
    own = plan.data[data]
    return {
        seed: Study(
            folder=study_folder(plan, data, seed),
            runs={name: plan.folder(arm, seed) for name, arm in arms.items()},
            settings=(*plan.utility_settings, *own.utility),
            # No two generators share a classifier's seed, nor the real images that depend on it.
            seeds=tuple(plan.classifiers * seed + i for i in range(plan.classifiers)),
            place=tuple(own.place("root")),
        )
        for seed in plan.seeds
    }


def study_folder(plan: Plan, data: str, seed: int) -> Path:
    """Where the classifiers of one seed's generators are."""
    return plan.runs / data / "utility" / f"seed_{seed}"


@cache
def _composed(settings: Sequence[str]) -> dict[str, Any]:
    whole = OmegaConf.to_container(composed("utility", settings), resolve=True)
    assert isinstance(whole, dict)
    return {str(key): value for key, value in whole.items()}
