"""Settings that no component of ours checks: Lightning would take them unseen, or fail without naming them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from fedgan.core.checks import check, check_choice, check_flag, check_int
from fedgan.core.precision import TF32

# Half precision would need its losses scaled, and the manual steps of two optimizers do not.
PRECISIONS = ("32-true", TF32, "bf16-mixed")
# Lightning's others would end a round early, skip an evaluation, or step the optimizers that are the clients' own.
TRAINER = (
    *("_target_", "accelerator", "devices", "num_nodes", "precision", "max_epochs", "check_val_every_n_epoch"),
    *("num_sanity_val_steps", "log_every_n_steps", "enable_model_summary", "enable_progress_bar", "deterministic"),
    *("benchmark", "profiler", "detect_anomaly"),
)


def check_trainer(settings: Mapping[str, Any], rounds: int) -> None:
    """Refuse what a round cannot be run with; the profiler Lightning refuses itself.

    Args:
        settings: those of ``trainer``; one that is absent keeps Lightning's default.
        rounds: ``fl.rounds``.

    Raises:
        ValueError: in one line.
    """
    for name in settings:
        if name not in TRAINER:
            raise ValueError(f"trainer.{name} is no setting of a federation; trainer has: {', '.join(TRAINER[1:])}")
    check_accelerator(settings.get("accelerator", "auto"))
    check_choice("trainer.precision", str(settings.get("precision", "32-true")), PRECISIONS)
    devices, allowed = settings.get("devices", 1), "a number of at least 1, or a list of devices' numbers"
    listed = isinstance(devices, Sequence) and not isinstance(devices, str)
    numbers = list(devices) if listed else [devices]
    counted = all(type(number) is int and number >= (0 if listed else 1) for number in numbers)
    check(bool(numbers) and counted, "trainer.devices", allowed, devices)
    check_int("trainer.num_nodes", settings.get("num_nodes", 1), low=1)
    epochs = settings.get("max_epochs", rounds)
    check(epochs == rounds, "trainer.max_epochs", f"fl.rounds={rounds}, which is what sets it", epochs)
    check_int("trainer.check_val_every_n_epoch", settings.get("check_val_every_n_epoch", 1), low=1)
    check_int("trainer.log_every_n_steps", settings.get("log_every_n_steps", 1), low=0)
    before = settings.get("num_sanity_val_steps", 0)
    check(before == 0, "trainer.num_sanity_val_steps", "0: nothing is evaluated before the first round", before)
    for name in ("enable_progress_bar", "enable_model_summary"):
        check_flag(f"trainer.{name}", settings.get(name, False))
    for name in ("benchmark", "detect_anomaly"):
        check_flag(f"trainer.{name}", settings.get(name) or False)
    deterministic = settings.get("deterministic", True)
    check(deterministic in (True, False, "warn"), "trainer.deterministic", "true, false or warn", deterministic)


def check_accelerator(accelerator: object) -> None:
    """Refuse a GPU where there is none, before data are read and loggers started.

    Raises:
        ValueError: in one line.
    """
    check_choice("trainer.accelerator", str(accelerator), ("cpu", "cuda", "gpu", "auto"))
    there = accelerator in ("cpu", "auto") or torch.cuda.is_available()
    check(there, "trainer.accelerator", "cpu (trainer=cpu): torch finds no GPU here", accelerator)


def check_checkpoint(settings: Mapping[str, Any]) -> None:
    """Refuse what would leave a run without the checkpoints that it is resumed from.

    Args:
        settings: those of ``checkpoint``.

    Raises:
        ValueError: in one line.
    """
    check_int("checkpoint.every_n_epochs", settings.get("every_n_epochs", 1), low=1)
    kept = settings.get("save_top_k", 1)
    check(kept in (1, -1), "checkpoint.save_top_k", "1 (the newest) or -1 (all)", kept)
    name = settings.get("filename")
    known = isinstance(name, str) and name.startswith("round_{epoch")
    check(known, "checkpoint.filename", "text that begins with round_{epoch, by which resume= finds it", name)
    naming = settings.get("auto_insert_metric_name")
    check(naming is False, "checkpoint.auto_insert_metric_name", "false, or resume= finds no checkpoint", naming)
    check_flag("checkpoint.save_on_train_epoch_end", settings.get("save_on_train_epoch_end", True))


def check_components(group: str, components: Mapping[str, Any]) -> None:
    """Refuse what is no component in a group of several.

    Args:
        group: ``defense`` or ``metrics``.
        components: their settings by name.

    Raises:
        ValueError: in one line.
    """
    for name, settings in components.items():
        whole = isinstance(settings, Mapping) and "_target_" in settings
        check(whole, f"{group}.{name}", "the settings of a component, with its _target_", settings)


def check_objective(objective: object, figures: Collection[str]) -> None:
    """Refuse an objective that no metric of the run can give.

    Args:
        objective: a figure's name, as it is or with a class (``emission/NORMAL``); None for none.
        figures: the names that the run's metrics have (``Metric.names``).

    Raises:
        ValueError: in one line.

    Example:
        >>> check_objective("emission/NORMAL", ["emission", "trigger_strength"])
        >>> check_objective("emision", ["emission", "trigger_strength"])
        Traceback (most recent call last):
        ...
        ValueError: objective must be null or a figure of the run's metrics (emission, trigger_strength); got 'emision'
    """
    known = objective is None or str(objective).partition("/")[0] in figures
    check(known, "objective", f"null or a figure of the run's metrics ({', '.join(figures) or 'none'})", objective)
