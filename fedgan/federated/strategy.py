"""One federation over several processes, on one machine or many: Lightning's own launching, without its gradients."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from torch import distributed

PATIENCE = timedelta(days=1)  # the others wait while the first process evaluates; one that ends is noticed at once


class FederatedStrategy(DDPStrategy):
    """Processes that own clients. Nothing is wrapped: updates cross (``fedgan.federated.messages``), gradients do not.

    All messages travel by gloo, between CPUs, also where the clients train on GPUs: they are few, and it notices at
    once when a process has ended, where NCCL would wait for it.

    Args:
        folder: the run's; the processes that are started here take their settings from it.
        trust: packages besides fedgan whose classes those processes may build.
    """

    def __init__(self, folder: Path, trust: Sequence[str] = ()) -> None:
        logging.getLogger("lightning_fabric.utilities.distributed").setLevel(logging.WARNING)
        super().__init__(timeout=PATIENCE)
        self.folder, self.trust = folder, list(trust)
        self._threads = torch.get_num_threads()

    def _configure_launcher(self) -> None:
        self._launcher = FolderLauncher(
            [f"resume={self.folder}", f"trust=[{','.join(self.trust)}]"],
            self.cluster_environment,
            self.num_processes,
            self.num_nodes,
        )

    def _get_process_group_backend(self) -> str:
        return "gloo"

    def reduce(
        self, tensor: Any, group: Any | None = None, reduce_op: distributed.ReduceOp | str | None = "mean"
    ) -> Any:
        """Lightning's own decisions (shall all stop?), which it keeps on the device, by way of the host as all else."""
        if not isinstance(tensor, torch.Tensor):
            return tensor
        return super().reduce(tensor.cpu(), group, reduce_op).to(tensor.device)

    def configure_ddp(self) -> None:
        """Leave the module as it is."""

    def teardown(self) -> None:
        """Leave nothing behind for the next run of this process, in a sweep."""
        super().teardown()
        torch.set_num_threads(self._threads)
        if distributed.is_initialized():
            distributed.destroy_process_group()


class FolderLauncher(_SubprocessScriptLauncher):
    """Starts the other processes of this machine, unless Slurm or torchrun has.

    Lightning repeats the command line; that of a sweep would start the whole sweep again.
    """

    def __init__(self, settings: Sequence[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.settings = settings

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start them, share the cores out, and continue."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            threading.Thread(target=self._watch_the_start, daemon=True).start()
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // self.num_processes))
        return function(*args, **kwargs)

    def _call_children_scripts(self) -> None:
        cluster = self.cluster_environment
        shared = {
            "MASTER_ADDR": cluster.main_address,
            "MASTER_PORT": str(cluster.main_port),
            "NODE_RANK": str(cluster.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        command = [sys.executable, "-m", "fedgan.train", *self.settings]
        for local_rank in range(1, self.num_processes):
            environment = {**os.environ, **shared, "LOCAL_RANK": str(local_rank)}
            self.procs.append(subprocess.Popen(command, env=environment))

    def _watch_the_start(self) -> None:
        """End this process if another ends before all have met: it would wait for it as long as PATIENCE.

        Afterwards gloo notices at once when one has ended.
        """
        while not distributed.is_initialized():
            if ended := [process for process in self.procs if process.poll()]:
                for process in self.procs:
                    process.kill()
                code = ended[0].returncode
                print(f"error: another process of this run ended at its start (exit code {code})", file=sys.stderr)
                os._exit(1)  # the main thread waits in C++, where no exception reaches it
            time.sleep(0.5)


def cluster() -> list[SLURMEnvironment]:
    """Slurm, if it has started this process, without Lightning's handler, which writes its own kind of checkpoint
    mid-round and puts the job back into the queue; ``Interruption`` ends the round instead."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def count_processes(trainer: Mapping[str, Any]) -> int:
    """How many processes these settings of ``trainer`` need, one per device.

    Example:
        >>> count_processes({"devices": [0, 3], "num_nodes": 2})
        4
    """
    devices = trainer.get("devices", 1)
    return (devices if isinstance(devices, int) else len(devices)) * int(trainer.get("num_nodes", 1))


def is_first(processes: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that writes, before Lightning knows.

    Args:
        processes: how many the run has; alone, a process is always the first, whatever Slurm calls it.
        environment: as torchrun, Slurm, Lightning or its user have set it.

    Example:
        >>> is_first(2, {"LOCAL_RANK": "1"}), is_first(1, {"SLURM_PROCID": "1"})
        (False, True)
    """
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    return processes == 1 or all(environment.get(name, "0") == "0" for name in ranks)


def launched_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether something else than this command has started the processes: each has its own command line.

    Example:
        >>> launched_elsewhere({"SLURM_NTASKS": "2"}), launched_elsewhere({})
        (True, False)
    """
    several_tasks = environment.get("SLURM_NTASKS", "1") != "1"
    return several_tasks or bool({"LOCAL_RANK", "NODE_RANK", "GROUP_RANK"} & environment.keys())
