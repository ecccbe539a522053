"""What a site would say to its server: a check of its settings, before its SuperNode starts.

python -m fedgan.flower dataset.root=PATH folder=PATH
"""

from omegaconf import DictConfig

from fedgan.config.command import command


@command("site")
def main(cfg: DictConfig) -> None:
    """The entry point; it imports torch late, so that --help and a misspelled setting do not wait."""
    from fedgan.flower import site

    hello = site.hello_of(site.checked_site(cfg))
    counts = ", ".join(f"{name} {count:,}" for name, count in zip(hello.classes, hello.counts, strict=True))
    print(f"{counts}; {hello.image_size} x {hello.image_size}, {'gray' if hello.channels == 1 else 'RGB'}")


if __name__ == "__main__":
    main()
