"""The main job: train a federated GAN, attacked and defended, and leave a run's folder.

python -m fedgan.train dataset=chestx dataset.root=PATH attack=white_square defense=feddetect
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from fedgan.build import (
    build_blueprint,
    build_defenses,
    build_federation,
    build_logger,
    close_loggers,
    describe,
    single_epilogue,
)
from fedgan.checks import check, check_choice, check_int
from fedgan.cli import Interrupted, command
from fedgan.resume import keep_settings, record_of, resumed_config
from fedgan.settings import check_checkpoint, check_components, check_objective, check_trainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedgan.attacks.base import Attack
    from fedgan.data import Splits

# Heavy imports are inside the functions, so that --help and a misspelt setting do not wait for torch.


@command("config")
def main(cfg: DictConfig) -> float | None:
    """Train in Hydra's output folder; hand a sweeper the figure that ``objective`` names."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.resume is not None:
        cfg, folder = resumed_config(cfg, HydraConfig.get().overrides.task), Path(str(cfg.resume)).expanduser()
    summary = finished_summary(cfg, folder)
    if summary is None:
        summary = train(cfg, folder)
    else:
        print(f"nothing to do: the run has its {summary['rounds']} rounds; fl.rounds=M extends it", file=sys.stderr)
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
        The summary, as it is written to ``folder/summary.json``.

    Raises:
        ValueError: in one line, on settings that contradict each other or the data.
        Interrupted: if a signal stopped the run; it can be resumed.
    """
    from fedgan.checkpoint import FOLDER as CHECKPOINTS
    from fedgan.checkpoint import AtomicCheckpointIO, latest_checkpoint
    from fedgan.evaluation import Evaluator
    from fedgan.files import clear_leftovers
    from fedgan.interruption import Interruption
    from fedgan.population import populate, set_apart
    from fedgan.progress import RoundProgress
    from fedgan.record import Recorder
    from fedgan.release import save_generator
    from fedgan.server import Server

    checkpoint = latest_checkpoint(folder) if cfg.resume is not None else None
    if checkpoint is None:
        open_folder(folder)
        keep_settings(cfg, folder)
    clear_leftovers(folder)

    check_settings(cfg)
    attack: Attack = instantiate(cfg.attack)
    defenses = build_defenses(cfg)
    metrics = {name: instantiate(part) for name, part in cfg.metrics.items()}
    check_objective(cfg.objective, [figure for metric in metrics.values() for figure in metric.names])
    splits: Splits = instantiate(cfg.dataset).load()
    epilogue = single_epilogue(defenses)
    server_images, images = set_apart(splits, epilogue.images_per_class, cfg.seed)
    population = populate(images, attack, cfg.fl.num_clients, cfg.seed)
    federation = build_federation(cfg, splits, population, attack, defenses, server_images if epilogue.rounds else None)

    server = Server(defenses)
    evaluator = Evaluator(
        metrics,
        splits=splits,
        trigger=population.trigger,
        seed=cfg.seed,
        samples_per_class=cfg.evaluation.samples_per_class,
        grid_per_class=cfg.evaluation.grid_per_class,
        latent_seed=cfg.evaluation.latent_seed,
        folder=folder / "samples",
        always=[cfg.fl.rounds - 1],  # the generator as it left the federation, also where it is fine-tuned later
    )
    recorder = Recorder(folder, server=server, evaluator=evaluator, population=population)
    recorder.note(name=cfg.name, seed=cfg.seed, rounds=cfg.fl.rounds, dataset=describe(splits))
    if checkpoint is not None:
        recorder.take_up(check_resumable(cfg, folder, checkpoint, epilogue.rounds, describe(splits)))
        keep_settings(cfg, folder)
    logger = build_logger(cfg, folder, splits, record_of(folder).get("logger_version"))
    recorder.note(logger_version=logger.version if logger else None)
    interruption = Interruption()
    watched = cfg.trainer.get("enable_progress_bar", True)
    keeper = instantiate(cfg.checkpoint, dirpath=folder / CHECKPOINTS)
    bars = [RoundProgress()] if watched else []
    trainer = instantiate(
        cfg.trainer,
        logger=logger,
        callbacks=[server, evaluator, recorder, interruption, keeper, *bars],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        max_epochs=cfg.fl.rounds + epilogue.rounds,
    )
    try:
        trainer.fit(federation, val_dataloaders=evaluator.loader(federation.z_dim), ckpt_path=checkpoint)
    except BaseException:
        close_loggers(trainer, exit_code=1)
        raise
    close_loggers(trainer, exit_code=0)
    if trainer.current_epoch < trainer.max_epochs:
        recorder.close("interrupted", reason=interruption.received)
        raise Interrupted(f"stopped after {trainer.current_epoch} rounds; go on with resume={folder}")

    digest = save_generator(folder, federation.released, build_blueprint(cfg, splits))
    return recorder.finish(federation, generator_sha256=digest)


def open_folder(folder: Path) -> None:
    """Make the run's folder; what a run that did not finish its first round has left there is cleared away.

    Raises:
        ValueError: if it holds a run.
    """
    from fedgan.checkpoint import latest_checkpoint

    finished = record_of(folder).get("status") == "finished"
    check(not finished, "hydra.run.dir", "a folder without a finished run", str(folder))
    begun = latest_checkpoint(folder) is not None
    check(not begun, "hydra.run.dir", "a folder without a run (resume=PATH goes on with one)", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "summary.json", "generator.safetensors", "rounds.csv", "clients.csv", "events.csv"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "samples", ignore_errors=True)


def check_settings(cfg: DictConfig) -> None:
    """Refuse what no component checks, before any data are read."""
    check_int("seed", cfg.seed, low=0)
    check_int("fl.num_clients", cfg.fl.num_clients, low=1, high=1_000_000)
    check_int("fl.rounds", cfg.fl.rounds, low=1)
    check_int("evaluation.every", cfg.evaluation.every, low=1)
    check_int("evaluation.latent_seed", cfg.evaluation.latent_seed, low=0)
    # Half precision would need its losses scaled, and the manual steps of two optimizers do not.
    check_choice("trainer.precision", str(cfg.trainer.precision), ("32-true", "bf16-mixed"))
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
