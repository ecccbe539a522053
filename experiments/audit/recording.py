"""What the server of a federation sees, kept: one federation then serves every statistic of a detector.

    python -m fedgan.train ... 'trust=[experiments]' hydra.run.dir=RUN \\
        '+defense.recording={_target_: experiments.audit.recording.Recording, folder: RUN/recording}'

It changes nothing of the run. Each round leaves ``round_NNNN.npz`` in the folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedgan.core.arguments import Count, PathText, checked
from fedgan.core.files import atomic_write
from fedgan.core.images import to_uint8
from fedgan.core.latents import balanced_latents
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.audit.views import log_amplitudes, reduced
from fedgan.defenses.base import Defense
from fedgan.defenses.robust.gram import gram_matrix
from fedgan.gan.recipe import Recipe

Arrays = dict[str, NDArray[Any]]


@checked
class Recording(Defense):
    """Keeps, for each client and round, images and their statistics, all losses, and the updates' inner products.

    Args:
        folder: where the files go.
        per_class: images of each class, from latents that never change, over which statistics are taken.
        kept_per_class: how many of these are kept as they are.
        loss_samples: latents for Eq. 6, which clients report too (``loss_g_final``).
    """

    def __init__(
        self, *, folder: PathText, per_class: Count = 64, kept_per_class: Count = 32, loss_samples: Count = 256
    ) -> None:
        self.folder = Path(folder)
        self.per_class, self.kept_per_class, self.loss_samples = per_class, kept_per_class, loss_samples

    def adapt(self, recipe: Recipe) -> Recipe:
        """Have the clients measure Eq. 6 too."""
        return replace(recipe, loss_samples=max(self.loss_samples, recipe.loss_samples))

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """Look, and leave everything as it is."""
        arrays = self.seen(updates, round_)
        self.folder.mkdir(parents=True, exist_ok=True)
        with_arrays = partial(_save, arrays=arrays)
        atomic_write(self.folder / f"round_{round_.index:04d}.npz", with_arrays)
        return updates

    def seen(self, updates: Sequence[ClientUpdate], round_: Round) -> Arrays:
        """What is kept of a round, by name; the first axis of all but ``gram`` and ``names`` is that of the clients.

        ``clients``: ids. ``mean``, ``variance``: of the images of each class, float32, (N, classes, C, H, W), images in
        [-1, 1], averaged down as the audit does. ``spectrum``: the mean logarithm of their amplitudes,
        (N, classes, C, H, W // 2 + 1). ``images``: uint8, (N, classes, kept, C, H, W), as drawn. ``losses``: float64,
        (N, losses), NaN where absent; ``names``: theirs. ``gram``: inner products of the updates, float64, (N, N).
        """
        assert round_.renderer is not None
        draw = round_.renderer
        request = balanced_latents(draw.num_classes, self.per_class, seed=0)
        z = request.latents(draw.z_dim)
        views = [self._views(draw(update.state, z, request.labels), draw.num_classes) for update in updates]
        names = sorted({name for update in updates for name in update.metrics})
        losses = [[update.metrics.get(name, float("nan")) for name in names] for update in updates]
        return {
            "clients": np.array([update.client_id for update in updates]),
            "losses": np.array(losses, dtype=np.float64),
            "names": np.array(names),
            "gram": gram_matrix([update.state for update in updates], round_),
            **{name: np.stack([view[name] for view in views]) for name in views[0]},
        }

    def _views(self, images: Tensor, classes: int) -> Arrays:
        shown = images.float().reshape(classes, self.per_class, *images.shape[1:])
        seen = reduced(images)  # as the audit sees them
        by_class = seen.reshape(classes, self.per_class, *seen.shape[1:])
        return {
            "mean": by_class.mean(1).cpu().numpy(),
            "variance": by_class.var(1).cpu().numpy(),
            "spectrum": log_amplitudes(by_class).mean(1).cpu().numpy(),
            "images": to_uint8(shown[:, : self.kept_per_class]).cpu().numpy(),
        }


def read(folder: Path) -> list[Mapping[str, NDArray[Any]]]:
    """The rounds of a recording, in their order; nothing in the files is executed."""
    return [dict(np.load(file, allow_pickle=False)) for file in sorted(folder.glob("round_*.npz"))]


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy types one of its keywords alone
