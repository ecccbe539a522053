"""A run's folder: its settings, what happened in each round, its results."""

import csv
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from fedgan.core.files import placed, write_json, write_json_in_place, write_table
from fedgan.federated.backend import Backend
from fedgan.federated.data import FederatedData
from fedgan.federated.faults import NO_VARIETY, Event
from fedgan.federated.federation import Federation
from fedgan.federated.server import Server
from fedgan.runs.findings import Found, found_by, places, save_client, save_maps
from fedgan.runs.provenance import device_name, git_state, peak_memory, versions
from fedgan.runs.scores import scores_of
from fedgan.scoring.callback import Evaluator

DECISION_COLUMNS = ("effective_clients", "true_positive_rate", "false_positive_rate")
CLIENT_COLUMNS = ("flagged", "flag_count", "weight", "poisoned_images", "num_examples")
RECEIPT_COLUMNS = ("round", "component", "client", "measure", "value")
# Apart from the other tables, which are the same whenever a run is repeated.
TIMING_COLUMNS = ("round", "seconds", "images", "images_per_second", "seconds_since_start")
EVENT_COLUMNS = tuple(field.name for field in fields(Event))
Row = dict[str, Any]


class Recorder(Callback):
    """Writes the tables (``TABLES``), run.json and summary.json.

    Args:
        folder: the run's folder.
        server: whose decisions are recorded.
        evaluator: whose metrics are recorded.
        federated_data: who the clients are, and what was done to their images.
        backend: which losses and metrics clients report.
        writes: False in all processes of a run but one.

    Attributes:
        rows: what the last round added to each table.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: Server,
        evaluator: Evaluator,
        federated_data: FederatedData,
        backend: Backend,
        writes: bool = True,
    ) -> None:
        self.folder, self.server, self.evaluator, self.writes = folder, server, evaluator, writes
        self.data, self.losses, self.metrics = federated_data, backend.losses, backend.metrics
        self.run: dict[str, Any] = {"status": "running", "git": git_state(), "versions": versions()}
        self.note(
            malicious=sorted(federated_data.malicious),
            poison_reports=[asdict(report) for report in federated_data.reports],
            partition=federated_data.table,
        )
        self.start = time.perf_counter()
        self.recorded = -1  # the last round whose rows are written
        self.had_all = False  # whether all rounds were there at the start (``RoundLoop``)
        self.rows: dict[str, list[Row]] = {}
        self.stood_out: dict[str, Path] = {}  # pictures of clients that were drawn since the last evaluation
        self.shown: dict[str, Path] = {}  # what loggers show of the last round
        self.found: dict[str, dict[int, Found]] = {}  # by defense and client that stood out, of the last round
        # What was spent before this process resumed the run is in timing.csv.
        self.training_seconds, self.images, self.seconds_before = 0.0, 0, 0.0

    def note(self, **facts: Any) -> None:
        """Add facts to run.json."""
        self.run |= facts

    def take_up(self, previous: Mapping[str, Any]) -> None:
        """Continue the record of a run that is resumed; ``previous`` is its run.json."""
        before = {key: previous.get(key) for key in ("status", "reason", "git", "versions", "device", "threads")}
        self.run["resumed"] = [*previous.get("resumed", []), before]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what is running, and open the tables."""
        self.run |= {"device": device_name(pl_module.device), "threads": torch.get_num_threads()}
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        self._write_run()
        self.had_all = trainer.current_epoch == trainer.max_epochs
        again = trainer.current_epoch - 1 if self.had_all else None  # this round is evaluated again

        def is_due(round_: int) -> bool:
            return round_ != again and self.evaluator.is_due(round_)

        for name, columns in self._tables().items() if self.writes else ():
            scored = self.evaluator.scorer.columns
            kept = keep_rows(self.folder / name, columns, pl_module.current_epoch, is_due, scored)
            if name == "timing.csv":
                self._count_on(kept)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round's rows."""
        assert isinstance(pl_module, Federation)
        if not self.writes:
            return
        self.recorded = pl_module.round
        with pl_module.profiler.profile("record"):
            looked = {} if pl_module.fine_tunes else self.server.defenses  # nobody is looked at while the server tunes
            self.found = {name: found_by(defense) for name, defense in looked.items()}
            self.rows = {
                "rounds.csv": [self.round_row(pl_module)],
                "clients.csv": self.client_rows(pl_module),
                "events.csv": [asdict(event) for event in pl_module.events],
                "timing.csv": [self.timing_row(pl_module)],
                "receipts.csv": self.receipt_rows(pl_module),
            }
            for name, rows in self.rows.items():
                self._append(name, rows)
            self._show(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where no round is left to be recorded, what the evaluation adds to the last one's rows."""
        assert isinstance(pl_module, Federation)
        if not self.writes or not self.had_all:
            return
        file = self.folder / "rounds.csv"
        rows: list[Row] = list(read_rows(file))
        for row in rows:
            if int(row["round"]) == pl_module.round:
                row |= self.evaluator.latest
        write_table(file, self._tables()[file.name], rows)
        self._append("events.csv", [asdict(event) for event in pl_module.events])
        self.recorded = pl_module.round

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before Lightning takes the module off its device."""
        self.run["peak_memory_bytes"] = peak_memory(pl_module.device)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record that a run broke off."""
        assert isinstance(pl_module, Federation)
        if self.writes and (self.folder / "events.csv").exists():
            untold = [event for event in pl_module.events if event.round > self.recorded]
            self._append("events.csv", [asdict(event) for event in untold])
        self.close_after(exception)

    def close_after(self, error: BaseException) -> None:
        """Say that this ended the run, unless its end has been recorded."""
        if self.run["status"] != "running":
            return
        if isinstance(error, KeyboardInterrupt):
            self.close("interrupted", "at once")
        else:
            self.close("failed", f"{type(error).__name__}: {error}")

    def close(self, status: str, reason: str | None) -> None:
        """Say how it ended, if not by finishing."""
        self.run |= {"status": status, "reason": reason}
        self._write_run()

    def round_row(self, federation: Federation) -> Row:
        """One row of rounds.csv; losses are means over the clients that took part."""
        decision, updates = self.server.decision, federation.updates
        assert decision is not None
        flags = bool(self.server.reweighting) and not federation.fine_tunes
        found, falsely = decision.detection_rates(self.data.malicious) if flags else (None, None)
        row: Row = {
            "round": federation.round,
            **{name: sum(u.metrics[name] for u in updates) / len(updates) for name in self.losses},
            "effective_clients": decision.effective_clients,
            "true_positive_rate": found,
            "false_positive_rate": falsely,
        }
        evaluated = self.evaluator.round_evaluated == federation.round
        return row | (self.evaluator.latest if evaluated else {})

    def timing_row(self, federation: Federation) -> Row:
        """One row of timing.csv: of this round, training and the server's step; and all seconds since the run began."""
        updates = [*federation.updates, *([] if federation.root is None else [federation.root])]
        images = sum(federation.backend.images_of(update.client_id) for update in updates)
        self.training_seconds, self.images = self.training_seconds + federation.seconds, self.images + images
        return {
            "round": federation.round,
            "seconds": round(federation.seconds, 4),
            "images": images,
            "images_per_second": round(images / federation.seconds, 2),
            "seconds_since_start": round(self._seconds(), 4),
        }

    def client_rows(self, federation: Federation) -> list[Row]:
        """The rows of clients.csv."""
        decision = self.server.decision
        assert decision is not None
        return [
            {
                "round": federation.round,
                "client": u.client_id,
                "malicious": int(u.client_id in self.data.malicious),
                **{name: u.metrics.get(name) for name in self.metrics},
                "flagged": int(u.client_id in decision.flagged),
                "flag_count": decision.flag_counts.get(u.client_id, 0),
                "weight": decision.weights.get(u.client_id),
                "poisoned_images": self.data.poisoned_images(u.client_id, federation.round),
                "num_examples": u.num_examples,
            }
            for u in federation.updates
        ]

    def receipt_rows(self, federation: Federation) -> list[Row]:
        """The rows of receipts.csv: what defenses, added losses and the attack on updates did in this round."""
        attackers = federation.attackers
        rows: list[tuple[str, int | None, dict[str, Any]]]
        rows = [(name, client, dict(report)) for (name, client), report in attackers.added_losses.items()]
        reports = [("update_attack", asdict(report)) for report in attackers.reports]
        rows += [(name, report.pop("client"), report) for name, report in reports]
        rows += [(f"defense.{name}", None, dict(receipt)) for name, receipt in self.server.receipts.items()]
        rows += [
            (f"defense.{name}", client, measures | places(self.found[name].get(client, {})))
            for name, clients in self.server.client_receipts.items()
            for client, measures in clients.items()
        ]
        return [
            {"round": federation.round, "component": name, "client": client, "measure": measure, "value": value}
            for name, client, measures in rows
            for measure, value in measures.items()
        ]

    def finish(self, federation: Federation, **facts: Any) -> dict[str, Any]:
        """Write summary.json, and run.json with the status that makes the run a finished one."""
        decision = self.server.last_of_clients
        assert decision is not None
        guilty = self.data.malicious & decision.weights.keys()  # None of them: nobody to weigh in the last round
        summary = {
            "rounds": federation.trainer.current_epoch - federation.fine_tuning_rounds,
            "fine_tuning_rounds": federation.fine_tuning_rounds,
            "metrics": self.evaluator.latest,
            "absent": self.evaluator.scorer.absent,
            "facts": self.evaluator.scorer.facts(),
            "malicious": sorted(self.data.malicious),
            "weights": {str(i): weight for i, weight in decision.weights.items()},
            "weight_of_malicious": sum(decision.weights[i] for i in guilty) if guilty else None,
            "flag_counts": {str(i): count for i, count in sorted(self.server.flag_counts.items())},
            "effective_clients": decision.effective_clients,
            "rounds_acted": self.server.rounds_acted,
            "scores": scores_of(self.folder / "receipts.csv"),
            **facts,
        }
        write_json(self.folder / "summary.json", summary)
        self.run |= {
            "status": "finished",
            "seconds": round(self._seconds(), 2),
            "images_per_second": round(self.images / self.training_seconds, 2) if self.training_seconds else None,
        }
        self._write_run()
        return summary

    def _show(self, federation: Federation) -> None:
        """Pictures of who stood out to defenses in this round; their maps of all clients with each evaluation.

        In every round, so that a client that does not stand out later on has its picture too.
        """
        for name, clients in self.found.items():
            for client, found in clients.items():
                guilty = client in self.data.malicious
                file = save_client(self.folder, name, client, found, federation.round, malicious=guilty)
                self.stood_out[f"defense.{name}/{file.stem}"] = file
        self.shown = {}
        if self.evaluator.round_evaluated == federation.round and not federation.fine_tunes:
            self.shown = save_maps(self.folder, self.server.defenses, self.data.malicious) | self.stood_out
            self.stood_out = {}

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.start

    def _count_on(self, timing: Sequence[Mapping[str, str]]) -> None:
        """Add what the rounds before this start took."""
        self.training_seconds = sum(float(row["seconds"]) for row in timing)
        self.images = sum(int(row["images"]) for row in timing)
        self.seconds_before = float(timing[-1]["seconds_since_start"]) if timing else 0.0

    def _tables(self) -> dict[str, Sequence[str]]:
        return {
            "rounds.csv": ("round", *self.losses, *DECISION_COLUMNS, *self.evaluator.scorer.columns),
            "clients.csv": ("round", "client", "malicious", *self.metrics, *CLIENT_COLUMNS),
            "events.csv": EVENT_COLUMNS,
            "timing.csv": TIMING_COLUMNS,
            "receipts.csv": RECEIPT_COLUMNS,
        }

    def _append(self, name: str, rows: Sequence[Row]) -> None:
        path = self.folder / name
        try:
            with path.open("a", newline="") as file:
                csv.DictWriter(file, self._tables()[name], lineterminator="\n").writerows(rows)
        except OSError as error:
            raise placed(error, path) from error

    def _write_run(self) -> None:
        if self.writes:
            write_json_in_place(self.folder / "run.json", self.run)


def keep_rows(
    file: Path, columns: Sequence[str], rounds: int, is_due: Callable[[int], bool], scored: Collection[str]
) -> list[dict[str, str]]:
    """Cut a table back to its first ``rounds`` rounds, so that a run continues as if it had never stopped.

    Metrics and events of rounds that were evaluated only because the run was to end there are taken out: the run that
    is extended has none.

    Args:
        file: the table; made anew, with its head alone, if nothing of it is to be kept.
        columns: its columns.
        rounds: how many are kept.
        is_due: whether a round is evaluated whatever the run's length.
        scored: the columns of an evaluation.

    Returns:
        The rows that are kept.
    """
    rows = read_rows(file) if rounds and file.exists() else []
    whole = [row for row in rows if None not in row.values() and row["round"].isdigit()]  # not cut off by a kill
    kept = [row for row in whole if int(row["round"]) < rounds and not _of_an_end(row, is_due)]
    for row in kept:
        if not is_due(int(row["round"])):
            row |= dict.fromkeys(row.keys() & set(scored), "")
    write_table(file, columns, kept)
    return kept


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a table; a row that a kill has cut off has None for what it lacks."""
    return list(csv.DictReader(file.read_text().splitlines()))


def _of_an_end(row: Mapping[str, str], is_due: Callable[[int], bool]) -> bool:
    """Whether this is an event that only a run's last round has."""
    evaluated_for_it = row.get("kind") == "collapsed" and not is_due(int(row["round"]))
    return row.get("kind") == NO_VARIETY or evaluated_for_it
