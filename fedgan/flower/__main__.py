"""What a site would say to its server, and what it would not: a check of its settings, before its SuperNode starts.

python -m fedgan.flower dataset.root=PATH folder=PATH
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("site")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.attacks.base import Attack
    from fedgan.config.building.component import made
    from fedgan.core.words import inventory
    from fedgan.flower import site

    own = site.checked_site(cfg)
    hello = site.hello_of(own)
    counts = dict(zip(hello.classes, hello.counts, strict=True))
    print(f"{inventory(counts)}; {hello.image_size} x {hello.image_size}, {'gray' if hello.channels == 1 else 'RGB'}")
    attack = made(own, "attack", Attack)
    if attack.acts:
        print(f"attack: {attack} on this site's images, of which the server does not learn")


if __name__ == "__main__":
    main()
