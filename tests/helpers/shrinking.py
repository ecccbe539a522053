"""Any run made small enough to be tried in seconds."""

from fnmatch import fnmatch

from omegaconf import DictConfig

from fedgan.config.resume import leaves

# What makes a run small, by the setting's name; applied where a run has that setting, and it is not null.
SMALLER = {
    "dataset.image_size": "32",
    "dataset.train_per_class": "32",
    "dataset.test_per_class": "6",
    "attack.size": "4",
    "model.generator.base_channels": "4",
    "model.generator.channel_base": "256",
    "model.discriminator.base_channels": "4",
    "metrics.*.classifier.steps": "3",
    "defense.feddetect*.warmup": "0",
    "defense.feddetect*.samples": "8",
    "defense.feddetect*.trees": "10",
    "defense.reconstruction.images_per_class": "4",
    "defense.fltrust.images_per_class": "4",
    "defense.generator_audit.images_per_class": "4",
    "defense.generator_audit.consecutive": "1",
    "defense.reconstruction.epochs": "1",
    "fl.num_clients": "4",
    "fl.clients_per_round": "3",
    "fl.rounds": "2",
    "trainer.enable_progress_bar": "false",
}
# Rules that tolerate nobody among four clients.
CROWDED = ("defense.bucketing.", "defense.bulyan.", "defense.krum.", "defense.multi_krum.", "defense.multi_metrics.")


def shrunk(cfg: DictConfig) -> list[str]:
    """The overrides that make this configuration small."""
    smaller = SMALLER | ({"fl.num_clients": "10"} if any(key.startswith(CROWDED) for key in leaves(cfg)) else {})
    return [
        f"{key}={value}"
        for key, present in leaves(cfg).items()
        for pattern, value in smaller.items()
        if fnmatch(key, pattern) and present is not None
    ]
