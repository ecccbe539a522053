"""The main job: train a federated GAN, attacked and defended, and leave a run's folder.

python -m fedgan.train dataset=chestx dataset.root=PATH attack=white_square defense=feddetect
"""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fedgan.build import build_blueprint, build_logger, build_parts, build_trainer, close_loggers, describe
from fedgan.checks import check, check_int
from fedgan.cli import AUTO, Interrupted, command
from fedgan.resume import is_begun, keep_settings, record_of, resumed_config
from fedgan.settings import check_checkpoint, check_components, check_trainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Heavy imports are inside the functions, so that --help and a misspelt setting do not wait for torch.


@command("config")
def main(cfg: DictConfig) -> float | None:
    """Train in Hydra's output folder; hand a sweeper the figure that ``objective`` names."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.resume == AUTO:
        cfg.resume = str(folder) if is_begun(folder) else None
    check_same_folder(cfg, HydraConfig.get().overrides.hydra)
    if cfg.resume is not None:
        cfg, folder = resumed_config(cfg, HydraConfig.get().overrides.task), Path(str(cfg.resume)).expanduser()
    summary = finished_summary(cfg, folder)
    if summary is None:
        summary = train(cfg, folder)
    else:
        print(f"nothing to do: the run has its {summary['rounds']} rounds; fl.rounds=M extends it", file=sys.stderr)
    if not summary:  # one of the processes that leave the record to the first
        return None
    print(folder)
    figure: float | None = summary["metrics"].get(cfg.objective)
    if figure is None and cfg.objective is not None:
        print(f"objective={cfg.objective} is no figure of this run: a sweeper gets nothing", file=sys.stderr)
    return figure


def finished_summary(cfg: DictConfig, folder: Path) -> dict[str, Any] | None:
    """The summary of a run that is to be resumed but has nothing left to do; None for any other."""
    if cfg.resume is None or record_of(folder).get("status") != "finished":
        return None
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary if summary["rounds"] == cfg.fl.rounds else None


def train(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """One run.

    Args:
        cfg: the composed configuration (conf/config.yaml).
        folder: the run's folder; made if absent. With ``cfg.resume`` the run goes on from its newest checkpoint.

    Returns:
        The summary, as it is written to ``folder/summary.json``; empty in all processes of the run but the first.

    Raises:
        ValueError: in one line, on settings that contradict each other or the data.
        Interrupted: if a signal stopped the run; it can be resumed.
        ConnectionError: if another process of the run has ended; it can be resumed.
    """
    from fedgan.arithmetic import rounding
    from fedgan.exclusive import exclusive
    from fedgan.processes import count_processes, is_first

    check_settings(cfg)
    first = is_first(count_processes(cfg.trainer))
    with exclusive(folder) if first else nullcontext(), rounding(str(cfg.trainer.precision)):
        return carry_out(cfg, folder, first=first)


def carry_out(cfg: DictConfig, folder: Path, *, first: bool) -> dict[str, Any]:
    """``train`` in a folder that no other run writes to; ``first``: in the process that keeps the record."""
    from fedgan.allocator import keep_memory
    from fedgan.checkpoint import latest_checkpoint
    from fedgan.exchange import peers
    from fedgan.files import clear_leftovers
    from fedgan.interruption import Interruption, interruptible
    from fedgan.release import save_generator

    checkpoint = latest_checkpoint(folder) if cfg.resume is not None else None
    if first:
        if checkpoint is None:
            open_folder(folder)
            keep_settings(cfg, folder)
        clear_leftovers(folder)

    keep_memory()
    parts = build_parts(cfg, folder)
    federation, recorder = parts.federation, parts.recorder
    if checkpoint is not None:
        recorder.take_up(check_resumable(cfg, folder, checkpoint, parts.epilogue.rounds, describe(parts.splits)))
        if first:
            keep_settings(cfg, folder)
    logger = build_logger(cfg, folder, parts.splits, record_of(folder).get("logger_version")) if first else False
    recorder.note(logger_version=logger.version if logger else None)  # type: ignore[union-attr]
    interruption = Interruption()
    trainer = build_trainer(cfg, folder, parts, [interruption], logger)
    try:
        with peers(), interruptible(trainer):
            trainer.fit(federation, val_dataloaders=parts.evaluator.loader(federation.z_dim), ckpt_path=checkpoint)
    except BaseException:
        close_loggers(trainer, exit_code=1)
        raise
    close_loggers(trainer, exit_code=0)
    if federation.round < cfg.fl.rounds + parts.epilogue.rounds:
        recorder.close("interrupted", reason=interruption.received)
        raise Interrupted(f"stopped after {federation.round} rounds; go on with resume={folder}")
    if not first:
        return {}

    digest = save_generator(folder, federation.released, build_blueprint(cfg, parts.splits))
    return recorder.finish(federation, generator_sha256=digest)


def check_same_folder(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a run over several machines whose processes would each name a folder of their own, by the time."""
    from fedgan.processes import count_processes, launched_elsewhere

    if cfg.resume is not None or not launched_elsewhere():
        return
    check_trainer(cfg.trainer, cfg.fl.rounds)
    if count_processes(cfg.trainer) > 1:
        named = any(override.startswith("hydra.run.dir=") for override in overrides)
        check(
            named, "hydra.run.dir", "given where several processes are started: one folder that all of them see", None
        )


def open_folder(folder: Path) -> None:
    """Make the run's folder; what a run that did not finish its first round has left there is cleared away.

    Raises:
        ValueError: if it holds a run.
    """
    from fedgan.checkpoint import CLIENTS, FOLDER, latest_checkpoint

    finished = record_of(folder).get("status") == "finished"
    check(not finished, "hydra.run.dir", "a folder without a finished run", str(folder))
    begun = latest_checkpoint(folder) is not None
    check(not begun, "hydra.run.dir", "a folder without a run (resume=auto goes on with one)", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "summary.json", "generator.safetensors", "rounds.csv", "clients.csv", "events.csv"):
        (folder / name).unlink(missing_ok=True)
    for part in ("samples", f"{FOLDER}/{CLIENTS}"):
        shutil.rmtree(folder / part, ignore_errors=True)


def check_settings(cfg: DictConfig) -> None:
    """Refuse what no component checks, before any data are read."""
    OmegaConf.to_container(cfg, resolve=True)  # refuses what points at nothing
    check_int("seed", cfg.seed, low=0)
    check_int("fl.num_clients", cfg.fl.num_clients, low=1, high=1_000_000)
    check_int("fl.rounds", cfg.fl.rounds, low=1)
    if cfg.fl.clients_per_round is not None:
        check_int("fl.clients_per_round", cfg.fl.clients_per_round, low=1, high=cfg.fl.num_clients)
    check_int("evaluation.every", cfg.evaluation.every, low=1)
    check_int("evaluation.latent_seed", cfg.evaluation.latent_seed, low=0)
    alone = cfg.model.compile is None or cfg.fl.engine == "serial"
    allowed = "null with fl.engine=vectorized: torch.func maps what is not compiled"
    check(alone, "model.compile", allowed, cfg.model.compile)
    check_trainer(cfg.trainer, cfg.fl.rounds)
    check_checkpoint(cfg.checkpoint)
    for group in ("defense", "metrics"):
        check_components(group, cfg[group])


def check_resumable(
    cfg: DictConfig, folder: Path, checkpoint: Path, fine_tuning: int, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Whether the run can go on from this checkpoint, with these data and this many rounds; returns its run.json.

    Raises:
        ValueError: in one line.
    """
    from fedgan.checkpoint import rounds_done

    record, done = record_of(folder), rounds_done(checkpoint)
    check(record.get("dataset") == data, "resume: the data set", "the one that the run was trained on", data["name"])
    planned = record.get("rounds", cfg.fl.rounds)
    if fine_tuning and done > planned:
        allowed = f"{planned}: the server has begun to fine-tune, and what came before is not kept"
        check(cfg.fl.rounds == planned, "fl.rounds", allowed, cfg.fl.rounds)
    allowed = f"at least {done}, the rounds that {folder} has"
    check(cfg.fl.rounds + fine_tuning >= done, "fl.rounds", allowed, cfg.fl.rounds)
    return record


if __name__ == "__main__":
    main()
