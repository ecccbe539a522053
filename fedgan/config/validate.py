"""Settings that no component of fedgan checks: Lightning would take them unseen, or fail without naming them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeVar

import torch
from annotated_types import MinLen, Predicate

from fedgan.core.arguments import Allowed, Count, NonNegative, PathText, also, checked, validated
from fedgan.core.checks import check
from fedgan.core.precision import is_here

T = TypeVar("T")


def _resumable(filename: str) -> bool:
    return filename.startswith("round_{epoch")


def _has_target(settings: Mapping[str, Any]) -> bool:
    return "_target_" in settings


_Here = Annotated[str, Predicate(is_here), Allowed("cpu (trainer=cpu): torch finds no GPU here")]
Accelerator = Annotated[Literal["cpu", "cuda", "gpu", "auto"], also(_Here)]
FinishedRunFolder = Annotated[PathText, Allowed("the folder of a finished run")]
Devices = Annotated[
    Count | Annotated[Sequence[NonNegative], MinLen(1)],
    Allowed("a number of at least 1, or a list of devices' numbers"),
]
Processes = Annotated[Count, Allowed("a number of processes on the CPU")]
Deterministic = Annotated[bool | Literal["warn"], Allowed("true, false or warn")]
Nothing = Annotated[Literal[0], Allowed("0: nothing is evaluated before the first round")]
FileName = Annotated[
    str, Predicate(_resumable), Allowed("text that begins with round_{epoch, by which resume= finds it")
]


Component = Annotated[
    Mapping[str, Any], Predicate(_has_target), Allowed("the settings of a component, with its _target_")
]


@checked
@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Settings allowed for Lightning's Trainer; the rest keep their defaults.

    Lightning's others would end a round early, skip an evaluation, or step the optimizers that are the clients' own.
    Half precision would need its losses scaled, and the manual steps of two optimizers do not.
    """

    accelerator: Accelerator = "auto"
    devices: Devices = 1
    num_nodes: Count = 1
    precision: Literal["32-true", "tf32-true", "bf16-mixed"] = "32-true"
    max_epochs: object = None
    check_val_every_n_epoch: Count = 1
    num_sanity_val_steps: Nothing = 0
    log_every_n_steps: NonNegative = 1
    enable_model_summary: bool = False
    enable_progress_bar: bool = True
    deterministic: Deterministic = True
    benchmark: bool | None = None
    profiler: object = None  # Lightning refuses what is none
    detect_anomaly: bool | None = None


@checked
@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Settings allowed for Lightning's ModelCheckpoint: with others a run could not be resumed from what it leaves."""

    filename: FileName
    auto_insert_metric_name: Annotated[Literal[False], Allowed("false, or resume= finds no checkpoint")]
    every_n_epochs: Count = 1
    save_top_k: Annotated[Literal[1, -1], Allowed("1 (the newest) or -1 (all)")] = 1
    save_on_train_epoch_end: Annotated[
        Literal[True], Allowed("true: a checkpoint before the round's rows are written cannot be resumed from")
    ] = True


def check_trainer(settings: Mapping[str, Any], rounds: int) -> None:
    """Refuse what a round cannot be run with.

    Args:
        settings: those of ``trainer``; one that is absent keeps Lightning's default.
        rounds: ``fl.rounds``.

    Raises:
        ValueError: in one line.
    """
    _refuse_others("trainer", TrainerSettings, settings)
    trainer = within("trainer", TrainerSettings, settings)
    on_cpu = trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not torch.cuda.is_available())
    if on_cpu:
        validated("trainer.devices", Processes, trainer.devices)
    check_epochs(settings.get("max_epochs", rounds), rounds)


def check_epochs(epochs: object, rounds: int) -> None:
    """Refuse another number of epochs than there are rounds.

    Args:
        epochs: ``trainer.max_epochs``.
        rounds: ``fl.rounds``.

    Raises:
        ValueError: in one line.
    """
    check(epochs == rounds, "trainer.max_epochs", f"fl.rounds={rounds}, which is what sets it", epochs)


def check_checkpoint(settings: Mapping[str, Any]) -> None:
    """Refuse what would leave a run without the checkpoints that it is resumed from.

    Args:
        settings: those of ``checkpoint``.

    Raises:
        ValueError: in one line.
    """
    _refuse_others("checkpoint", CheckpointSettings, settings)
    within("checkpoint", CheckpointSettings, settings)


def _refuse_others(place: str, declared: type[Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings that are not declared: Lightning would take them."""
    known = [field.name for field in fields(declared)]
    for name in (each for each in settings if each not in ("_target_", *known)):
        raise ValueError(f"{place}.{name} is not a setting of a federation; {place} has: {', '.join(known)}")


def within(place: str, declared: Callable[..., T], settings: Mapping[str, Any]) -> T:
    """Settings as they are declared, without their _target_; an error puts their place in front of a name.

    Raises:
        ValueError: in one line.
    """
    try:
        return declared(**{name: value for name, value in settings.items() if name != "_target_"})
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from error


def check_objective(objective: object, metrics: Collection[str]) -> None:
    """Refuse an objective that no metric of the run can give.

    Args:
        objective: a metric's name, as it is or with a class (``emission/NORMAL``); None for none.
        metrics: the names that the run's metrics have (``Metric.names``).

    Raises:
        ValueError: in one line.

    Example:
        >>> check_objective("emission/NORMAL", ["emission", "trigger_strength"])
        >>> check_objective("emision", ["emission", "trigger_strength"])
        Traceback (most recent call last):
        ...
        ValueError: objective must be null or one of the run's metrics (emission, trigger_strength); got 'emision'
    """
    known = objective is None or str(objective).partition("/")[0] in metrics
    check(known, "objective", f"null or one of the run's metrics ({', '.join(metrics) or 'none'})", objective)
