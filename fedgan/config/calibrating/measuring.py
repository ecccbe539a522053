"""The spread of honest clients' losses, from control runs that differ in nothing but their seeds."""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate
from omegaconf import OmegaConf

from fedgan.config.calibrating.recipe import recipe_of
from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import check
from fedgan.defenses.calibration import Calibration, LossName, round_variance
from fedgan.reports.run import Run


def _some_differ(spreads: Mapping[str, float]) -> bool:
    return max(spreads.values()) > 0


_Spreads = Annotated[Mapping[str, float], Predicate(_some_differ), Allowed("of clients whose losses differ")]


def calibrate(runs: Sequence[Run], loss: LossName, warmup: int) -> Calibration:
    """The spread of honest clients' losses in a round, from runs that differ in nothing but their seeds.

    A run's spread is the root mean square, over its rounds, of the standard deviation of the clients' log losses (of
    the losses, if one of any run is not above 0). The calibration's is the LARGEST of them: runs of one recipe differ
    in how far their honest clients are apart, and a detector is set for the next run, whose spread may be any of
    these; the root mean square of all leaves half of them with too small a one.

    Args:
        runs: at least two.
        loss: its name in clients.csv.
        warmup: first rounds that are left out.

    Raises:
        ValueError: in one line, naming what is wrong with a run, or what differs between two.
    """
    for run in runs:
        check_control(run)
    data = {run: run.record.get("dataset") or {} for run in runs}
    recipes = {str(run.folder): recipe_of(OmegaConf.create(run.settings), data[run]) for run in runs}
    check_alike(recipes)
    check_seeds(runs)
    losses = {str(run.folder): losses_of(run, loss, warmup) for run in runs}
    logs = all(value > 0 for rounds in losses.values() for each in rounds for value in each)
    spreads = {name: sqrt(sum(round_variance(each, logs) for each in own) / len(own)) for name, own in losses.items()}
    validated("runs", _Spreads, spreads)
    return Calibration(
        spread=max(spreads.values()),
        rms=sqrt(sum(spread**2 for spread in spreads.values()) / len(spreads)),
        loss=loss,
        scale="log" if logs else "linear",
        warmup=warmup,
        num_clients=int(runs[0].settings["fl"]["num_clients"]),
        seeds=[int(run.settings["seed"]) for run in runs],
        runs=spreads,
        settings=next(iter(recipes.values())),
    )


def check_control(run: Run) -> None:
    """Refuse a run that is not finished, that somebody attacked, or in which a defense acted.

    Raises:
        ValueError: in one line.
    """
    malicious, acted = run.record.get("malicious"), run.summary.get("rounds_acted", {})
    acting = ",".join(name for name, rounds in acted.items() if rounds)
    conditions = (
        (run.status == "finished", "finished runs", f", which is {run.status}"),
        (malicious == [], "runs in which nobody attacks (fl.malicious=0)", f" with malicious clients {malicious}"),
        (not acting, "runs in which no defense acts", f" with defense={acting}"),
    )
    for ok, allowed, got in conditions:
        check(ok, "runs", allowed, f"{run.folder}{got}")


def check_alike(recipes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse runs of differing recipes.

    Raises:
        ValueError: in one line, naming the first setting that differs, and two runs.

    Example:
        >>> check_alike({"a": {"fl.rounds": 2}, "b": {"fl.rounds": 3}})
        Traceback (most recent call last):
        ...
        ValueError: runs must be alike but for their seeds; got fl.rounds=2 in a and fl.rounds=3 in b
    """
    (first, own), *others = recipes.items()
    for name, other in others:
        for key in sorted(own.keys() | other.keys()):
            mine, theirs = own.get(key), other.get(key)
            if mine != theirs:
                raise ValueError(
                    f"runs must be alike but for their seeds; got {key}={mine} in {first} and {key}={theirs} in {name}"
                )


def check_seeds(runs: Sequence[Run]) -> None:
    """Refuse runs of one seed: the same run twice says nothing new.

    Raises:
        ValueError: in one line.
    """
    seen = dict[Any, Path]()
    for run in runs:
        seed = run.settings.get("seed")
        check(
            seed not in seen, "runs", "each of a seed of its own", f"{run.folder} and {seen.get(seed)} with seed={seed}"
        )
        seen[seed] = run.folder


def losses_of(run: Run, loss: str, warmup: int) -> list[list[float]]:
    """The clients' losses in each round from the warm-up on, in which at least three took part; not the server's own.

    Raises:
        ValueError: in one line, if the run has none.
    """
    table = run.clients[(run.clients["round"] >= warmup) & (run.clients["client"] < run.settings["fl"]["num_clients"])]
    there = loss in table.columns and not bool(table[loss].isna().any())
    check(there, "loss", f"one that all runs report; {run.folder}/clients.csv lacks it", loss)
    rounds = [own[loss].tolist() for _, own in table.groupby("round")]
    kept = [each for each in rounds if len(each) >= 3]
    check(bool(kept), "warmup", f"such that {run.folder} has a later round with at least 3 clients", warmup)
    return kept
