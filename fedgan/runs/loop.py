"""Lightning's loop over the rounds, for a run that has all of them too."""

from pytorch_lightning.loops.fit_loop import _FitLoop


class RoundLoop(_FitLoop):
    """A round is an epoch; of a run that has all its rounds but no summary, the last one is evaluated again.

    Such a run was killed after its last checkpoint, or ``fl.rounds`` is the number of rounds that it was stopped after.
    Lightning would call no hook of it but those around the whole fit.
    """

    def run(self) -> None:
        """All rounds that are left."""
        self.setup_data()
        if self.skip:
            self._evaluate_the_last()
        else:
            super().run()

    def _evaluate_the_last(self) -> None:
        self.restarting = False  # or the evaluation in the checkpoint would be continued
        self.on_run_start()
        self.epoch_progress.current.completed -= 1  # hooks see the round that is evaluated as the present one
        self.trainer.validating = True
        self.epoch_loop.val_loop.run()
        self.trainer.training = True
        self.epoch_progress.current.completed += 1
        self.on_run_end()
