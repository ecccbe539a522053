"""The server: an ordinary run, with its record, checkpoints and defenses, whose clients are at sites."""

import shlex
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.resume import is_begun, resumed_config
from fedgan.core.arguments import Count, PathText, validated
from fedgan.core.checks import check
from fedgan.flower.keys import read_table
from fedgan.flower.settings import composed, to_send
from fedgan.flower.sites import KeyedSites, Link


def serve(link: Link, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One run, begun or resumed, over a link to the sites.

    Args:
        link: to the nodes.
        settings: ``folder``, of the run, and ``sites``, the file of the clients' keys, as absolute paths; ``overrides``
            as typed behind ``python -m fedgan.train``.

    Returns:
        The run's summary; see ``training.train``.

    Raises:
        ValueError: in one line.
    """
    folder, table = (_absolute(name, settings.get(name)) for name in ("folder", "sites"))
    cfg = server_settings(shlex.split(str(settings.get("overrides", ""))), folder)
    summary = training.finished_summary(cfg, folder)
    if summary is None:
        keys = read_table(table, validated("fl.num_clients", Count, cfg.fl.num_clients))
        summary = training.train(cfg, folder, KeyedSites(link, keys, to_send(cfg)))
    print(f"finished: {folder}", file=sys.stderr)
    return summary


def server_settings(overrides: list[str], folder: Path) -> DictConfig:
    """The run's settings: those of the folder's run, where it has one, or a new run's.

    Raises:
        ValueError: in one line, if the folder's run was made otherwise.
    """
    cfg = composed("config", ["fl/backend=flower", *overrides])
    if is_begun(folder):
        cfg.resume = str(folder)
        return resumed_config(cfg, overrides)
    check(cfg.resume is None, "resume", "left away: the run in folder= is resumed by itself", cfg.resume)
    if "run" in cfg.fl.backend and cfg.fl.backend.run is None:
        cfg.fl.backend.run = uuid.uuid4().hex
    return cfg


def _absolute(name: str, value: object) -> Path:
    path = Path(validated(name, PathText, value)).expanduser()
    check(path.is_absolute(), name, "an absolute path: Flower starts the server where it likes", value)
    return path
