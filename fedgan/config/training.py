"""The main job: train a federated GAN, attacked and defended, and leave a run's folder.

python -m fedgan.train dataset=chestx dataset.root=PATH attack=white_square defense=feddetect
"""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from fedgan.config.building.run import Parts, build_parts, build_spec, build_trainer
from fedgan.config.calibrating.recipe import in_other_words, recipe_of
from fedgan.config.logging.curves import RoundLogger
from fedgan.config.logging.loggers import build_loggers, check_loggers, closing_loggers, conclude, versions_of
from fedgan.config.next_steps import next_steps
from fedgan.config.places import AUTO
from fedgan.config.refusals import SEVERAL, Interrupted
from fedgan.config.resume import (
    anchor,
    is_begun,
    keep_settings,
    keep_typed,
    logger_versions,
    refuse_foreign,
    resumed_config,
)
from fedgan.config.screen import screen
from fedgan.config.sweeps.callbacks import label_of
from fedgan.config.typed.choices import parsed, typed_overrides
from fedgan.config.validate import Component, check_checkpoint, check_trainer
from fedgan.core.arguments import Allowed, Count, PathText, Seed, validated
from fedgan.core.checks import check
from fedgan.core.folders import FolderName
from fedgan.core.images import Splits
from fedgan.core.memory import keep_memory, unfilled
from fedgan.core.precision import rounding
from fedgan.core.words import counted
from fedgan.defenses.base import Defense
from fedgan.federated.data import ClientCounts
from fedgan.federated.engines.sites import Sites, check_unchanged
from fedgan.federated.messages import peers
from fedgan.federated.strategy import count_processes, is_first, launched_elsewhere
from fedgan.runs.allowlist import Packages
from fedgan.runs.checkpoint import latest_checkpoint, rounds_done
from fedgan.runs.closing import closing_table, found, headline, one_line, pictures
from fedgan.runs.export import FILE_NAME as GENERATOR
from fedgan.runs.export import save_generator
from fedgan.runs.folder import check_new, clear_leftovers, is_finished, open_folder, record_of
from fedgan.runs.lock import FolderLock, exclusive
from fedgan.runs.signals import Interruption, interruptible

WithoutResume = Annotated[None, Allowed("null without resume=: type dataset.root=PATH")]


def main(cfg: DictConfig) -> float | None:
    """Train in Hydra's output folder; hand a sweeper the metric that ``objective`` names."""
    cfg, folder = settled(cfg)
    summary = finished_summary(cfg, folder)
    if summary is None:
        try:
            summary = train(cfg, folder)
        except KeyboardInterrupt:
            raise stopped_early(folder) from None
    else:
        rounds = counted(summary["rounds"], "round")
        print(f"{label_of(folder)}nothing to do: the run has its {rounds}; fl.rounds=M extends it", file=sys.stderr)
    if not summary:  # one of the processes that leave the record to the first
        return None
    show(summary, folder)
    print(folder)
    value: float | None = summary["metrics"].get(cfg.objective)
    if value is None and cfg.objective is not None:
        print(f"objective={cfg.objective} is not a metric of this run: a sweeper gets nothing", file=sys.stderr)
    return value


def settled(cfg: DictConfig) -> tuple[DictConfig, Path]:
    """The run's settings and its folder: of the one that is resumed, where there is one; within a command.

    Raises:
        ValueError: in one line, if what is to be resumed is no run or was made otherwise.
    """
    here = Path(HydraConfig.get().runtime.cwd)
    anchor(cfg, here)
    folder = Path(HydraConfig.get().runtime.output_dir)
    if cfg.resume == AUTO:
        cfg.resume = str(folder) if is_begun(folder) else None
    check_same_folder(cfg, HydraConfig.get().overrides.hydra)
    if cfg.resume is not None:
        validated("resume", Annotated[PathText, Allowed("a run's folder, or auto")], cfg.resume)
        cfg.resume = str(here / Path(str(cfg.resume)).expanduser())
        cfg, folder = resumed_config(cfg, typed_overrides()), Path(cfg.resume)
    return cfg, folder


def show(summary: dict[str, Any], folder: Path) -> None:
    """The end of a run on the screen; of a sweep's run, its metrics in one line."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        print(f"{label_of(folder)}{one_line(summary['metrics'])}", file=sys.stderr)
        return
    print(headline(summary, record_of(folder).get("seconds") or 0.0), file=sys.stderr)
    screen(stderr=True).print(closing_table(summary))
    print(*found(summary, folder), *pictures(folder), *next_steps(folder), sep="\n", file=sys.stderr)


def finished_summary(cfg: DictConfig, folder: Path) -> dict[str, Any] | None:
    """The summary of a run that is to be resumed but has nothing left to do; None for any other."""
    if cfg.resume is None or not is_finished(folder):
        return None
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary if summary["rounds"] == cfg.fl.rounds else None


def train(cfg: DictConfig, folder: Path, sites: Sites | None = None) -> dict[str, Any]:
    """One run.

    Args:
        cfg: the composed configuration (conf/config.yaml).
        folder: the run's folder; made if absent. With ``cfg.resume`` the run resumes from its newest checkpoint.
        sites: where the clients are, if not in this process.

    Returns:
        The summary, as it is written to ``folder/summary.json``; empty in all processes of the run but the first.

    Raises:
        ValueError: in one line, on settings that contradict each other, the data or the folder, which is then as it
            was.
        Interrupted: if a signal stopped the run; it can be resumed.
        ConnectionError: if another process of the run has ended; it can be resumed.
    """
    check_settings(cfg)
    first = is_first(count_processes(cfg.trainer))
    taken = exclusive(folder) if first else nullcontext(FolderLock(folder))
    with taken as lock, rounding(str(cfg.trainer.precision)), unfilled():
        return carry_out(cfg, folder, lock if first else None, sites)


def carry_out(cfg: DictConfig, folder: Path, lock: FolderLock | None, sites: Sites | None = None) -> dict[str, Any]:
    """``train`` once the settings are known to be good; ``lock``: in the process that keeps the record."""
    checkpoint = latest_checkpoint(folder) if cfg.resume is not None else None
    if lock is not None and checkpoint is None:
        check_new(folder)
    keep_memory()
    # Everything that can be refused is built before anything is written.
    parts = build_parts(cfg, folder, sites=sites)
    interruption = Interruption()
    trainer = build_trainer(cfg, folder, parts, [RoundLogger(parts.recorder), interruption], label_of(folder))
    if checkpoint is not None:
        parts.recorder.take_up(check_resumable(cfg, folder, checkpoint, parts))
    if lock is not None:
        lock.take()
        accept(cfg, folder, parts, begins=checkpoint is None)
    return fit(cfg, folder, parts, trainer, interruption, checkpoint)


def accept(cfg: DictConfig, folder: Path, parts: Parts, *, begins: bool) -> None:
    """Make the folder the run's, write its settings there, and say what is about to run."""
    if begins:
        check_new(folder)  # again: another process may have begun there while the data were read
        open_folder(folder)
        keep_typed(folder)
    else:
        clear_leftovers(folder)
    keep_settings(cfg, folder)
    lines = list(introduction(parts))
    if begins and parts.attack == "none" and (typed := typed_malicious()):
        lines.append(f"warning: {typed} has no effect: nobody attacks with attack=none and update_attack=none")
    lines += [f"warning: {line}" for line in outnumbered(cfg.defense, len(parts.federated_data.malicious))]
    lines += [*about_defenses(parts.server.defenses), *measured_elsewhere(cfg, parts)]
    label = label_of(folder)
    for line in lines:
        print(f"{label}{line}", file=sys.stderr)


def outnumbered(defenses: Mapping[Any, Any], malicious: int) -> list[str]:
    """The defenses that are set to tolerate fewer malicious clients than there are.

    Example:
        >>> outnumbered({"krum": {"num_malicious": 1}, "median": {}}, malicious=2)
        ['defense.krum.num_malicious=1 is fewer than the 2 malicious clients of this run']
    """
    tolerated = {name: settings.get("num_malicious") for name, settings in defenses.items()}
    return [
        f"defense.{name}.num_malicious={count} is fewer than the {counted(malicious, 'malicious client')} of this run"
        for name, count in tolerated.items()
        if count is not None and count < malicious
    ]


def about_defenses(defenses: Mapping[str, Defense]) -> list[str]:
    """What defenses work with that no setting says, and what they warn of; see ``Defense.facts``."""
    lines = []
    for name, defense in defenses.items():
        if facts := ", ".join(f"{key}: {value}" for key, value in defense.facts().items()):
            lines.append(f"note: defense.{name} works with {facts}")
        lines += [f"warning: defense.{name}: {line}" for line in defense.warnings()]
    return lines


def measured_elsewhere(cfg: DictConfig, parts: Parts) -> list[str]:
    """A warning for each defense that works with a file which was measured with other settings than this run's."""
    own, server = recipe_of(cfg, parts.splits.describe()), parts.server
    measured = {name: defense.measured_on() for name, defense in server.defenses.items()}
    said = {name: in_other_words(each, own, server.rounds_acted) for name, each in measured.items()}
    return [f"warning: defense.{name}: its file was {words}" for name, words in said.items() if words]


def typed_malicious() -> str | None:
    """What was typed of fl.malicious, unless it is that there are none; within a command."""
    typed = parsed(typed_overrides()) if HydraConfig.initialized() else []
    said = (each.input_line for each in typed if each.key_or_group == "fl.malicious" and each.value() not in (0, []))
    return next(said, None)


def fit(
    cfg: DictConfig, folder: Path, parts: Parts, trainer: Trainer, interruption: Interruption, checkpoint: Path | None
) -> dict[str, Any]:
    """Train from the checkpoint, or from the start; leave the run's record and its generator."""
    federation, recorder = parts.federation, parts.recorder
    with closing_loggers(trainer):
        try:
            if recorder.writes:
                begin_logging(cfg, folder, parts, trainer)
            with peers(), interruptible(trainer):
                trainer.fit(federation, val_dataloaders=parts.evaluator.loader(federation.z_dim), ckpt_path=checkpoint)
            return finish(cfg, folder, parts, trainer, interruption)
        except BaseException as error:
            recorder.close_after(error)
            if isinstance(error, KeyboardInterrupt) and (newest := latest_checkpoint(folder)):
                raise stopped(folder, rounds_done(newest), planned_of(cfg, parts)) from None
            raise


def planned_of(cfg: DictConfig, parts: Parts) -> int:
    """All rounds of a run, the server's own included."""
    return int(cfg.fl.rounds + parts.server_training.rounds_after)


def stopped(folder: Path, done: int, planned: int) -> Interrupted:
    """That a signal ended a run after so many rounds, and how it continues."""
    return Interrupted(f"stopped after {done} of {counted(planned, 'round')}; {_to_continue(folder)}")


def stopped_early(folder: Path) -> Interrupted:
    """That a signal ended a run before this process had finished a round of it, perhaps while it read the data."""
    if latest_checkpoint(folder) is None:
        return Interrupted("stopped before the first round: there is nothing to continue")
    return Interrupted(f"stopped; {_to_continue(folder)}")


def _to_continue(folder: Path) -> str:
    return f"to continue: python -m fedgan.train resume={folder}"


def begin_logging(cfg: DictConfig, folder: Path, parts: Parts, trainer: Trainer) -> None:
    """Give the Trainer its loggers; they continue the curves of a run that is resumed."""
    recorder, before = parts.recorder, logger_versions(record_of(folder))
    recorder.note(loggers=before)
    about = {key: recorder.run[key] for key in ("malicious", "partition", "poison_reports")}
    facts = {"data": parts.splits.describe(), "federation": about}
    loggers = build_loggers(cfg, folder, facts, before)
    recorder.note(loggers=versions_of(loggers))
    trainer.loggers = list(loggers.values())


def finish(cfg: DictConfig, folder: Path, parts: Parts, trainer: Trainer, interruption: Interruption) -> dict[str, Any]:
    """The summary of a run that has all its rounds, and its generator; see ``fit``.

    Raises:
        Interrupted: if it has not.
    """
    federation, recorder = parts.federation, parts.recorder
    planned = planned_of(cfg, parts)
    if federation.round < planned:
        recorder.close("interrupted", reason=interruption.received)
        raise stopped(folder, federation.round, planned)
    if not recorder.writes:
        return {}
    spec = build_spec(cfg, parts)
    digest = save_generator(folder, federation.released, spec)
    summary = recorder.finish(federation, generator_sha256=digest)
    conclude(trainer, summary, folder / GENERATOR, {"sha256": digest, **asdict(spec)})
    return summary


def introduction(parts: Parts) -> list[str]:
    """What a run says at its start: what was read, who is malicious and with what, what defends."""
    sizes = sorted({len(images) for images in parts.federated_data.clients})
    each = counted(sizes[0], "image") if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,} images"
    notes = [f"note: {note}" for note in parts.splits.notes]
    clients = f"clients: {len(parts.federated_data.clients):,} with {each} each"
    return [f"data: {parts.splits}", *notes, clients, f"attack: {parts.attack}", f"defense: {parts.defense}"]


def check_same_folder(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a run over several machines whose processes would each name a folder of their own, by the time."""
    if cfg.resume is not None or not launched_elsewhere():
        return
    trainer: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    check_trainer(trainer, cfg.fl.rounds)
    if count_processes(cfg.trainer) > 1:
        named = any(override.startswith("hydra.run.dir=") for override in overrides)
        check(
            named, "hydra.run.dir", "given where several processes are started: one folder that all of them see", None
        )


def check_settings(cfg: DictConfig) -> None:
    """Refuse what no component checks, before any data are read."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)  # refuses what points at nothing
    validated("seed", Seed, plain["seed"])
    validated("name", FolderName, str(cfg.name))
    clients = validated("fl.num_clients", Annotated[int, Interval(ge=1, le=1_000_000)], cfg.fl.num_clients)
    validated("fl.rounds", Count, cfg.fl.rounds)
    validated("fl.clients_per_round", Annotated[int, Interval(ge=1, le=clients)] | None, cfg.fl.clients_per_round)
    validated("evaluation.every", Count, cfg.evaluation.every)
    validated("evaluation.latent_seed", Seed, cfg.evaluation.latent_seed)
    if cfg.resume is None:
        validated("root", WithoutResume, cfg.root)
    check_trainer(plain["trainer"], cfg.fl.rounds)
    for name in ("weighting", "backend"):
        typed = cfg.fl[name] if isinstance(cfg.fl[name], str) else None
        check(typed is None, f"fl.{name}", f"chosen as a group: fl/{name}={typed}", typed)
    check_checkpoint(plain["checkpoint"])
    trust = validated("trust", Packages, plain["trust"])
    if count_processes(cfg.trainer) > 1:
        refuse_foreign(cfg, trust, "several processes")  # the other processes read their settings from the run's folder
    for group in SEVERAL:
        for name, settings in plain[group].items():
            validated(f"{group}.{name}", Component, settings)
    check_loggers(cfg.logger)


def check_resumable(cfg: DictConfig, folder: Path, checkpoint: Path, parts: Parts) -> dict[str, Any]:
    """Whether the run can be resumed from this checkpoint, with these data and this many rounds; returns its run.json.

    Raises:
        ValueError: in one line.
    """
    record, done, fine_tuning = record_of(folder), rounds_done(checkpoint), parts.server_training.rounds_after
    if isinstance(parts.federated_data.clients[0], ClientCounts):
        check_unchanged(record, parts.recorder.run)
    check_same_data(record.get("dataset", {}), parts.splits)
    planned = record.get("rounds", cfg.fl.rounds)
    if fine_tuning and done > planned:
        allowed = f"{planned}: the server has begun to fine-tune, and the earlier rounds are not kept"
        check(cfg.fl.rounds == planned, "fl.rounds", allowed, cfg.fl.rounds)
    federated = min(done, planned) if fine_tuning else done
    check(cfg.fl.rounds >= federated, "fl.rounds", f"at least {federated}, the rounds that {folder} has", cfg.fl.rounds)
    return record


def check_same_data(recorded: Mapping[str, Any], splits: Splits) -> None:
    """Refuse to resume on other images than those that the run was trained on."""
    for name, part in (("training", splits.train), ("test", splits.test)):
        before = recorded.get("train" if part is splits.train else "test", {})
        if before.get("sha256") != part.fingerprint:
            raise ValueError(
                f"resume: the {name} images must be the {before.get('counts')} that the run began with, the same "
                f"pixels in the same order; {splits.name} has {part.counts}"
            )
