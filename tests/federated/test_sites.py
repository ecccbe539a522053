"""Clients whose images are elsewhere: what the server knows, and what it refuses."""

import pytest

from fedgan.federated.engines.sites import SiteFacts, check_same_kind, data_of

ONE = SiteFacts(("normal", "pneumonia"), channels=1, image_size=32, counts=(8, 4))


def test_counts_stand_for_images() -> None:
    splits, data = data_of([ONE, SiteFacts(ONE.classes, 1, 32, (3, 0))])
    assert splits.shape == {"num_classes": 2, "channels": 1, "image_size": 32}
    assert len(splits.train) == len(splits.test) == 0
    assert [len(client) for client in data.clients] == [12, 3]
    assert data.table == {"normal": [8, 3], "pneumonia": [4, 0]}
    assert data.poisoned_images(0, round_=0) == 0


@pytest.mark.parametrize(
    "other",
    [
        SiteFacts(("pneumonia", "normal"), 1, 32, (8, 4)),
        SiteFacts(ONE.classes, 3, 32, (8, 4)),
        SiteFacts(ONE.classes, 1, 64, (8, 4)),
    ],
    ids=["classes", "channels", "size"],
)
def test_images_of_another_kind_are_refused(other: SiteFacts) -> None:
    with pytest.raises(ValueError, match=r"dataset: the site of client 1 must have .*; got ") as refusal:
        data_of([ONE, other])
    assert "\n" not in str(refusal.value)
    check_same_kind("x", ONE, ONE)


def test_a_site_with_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 images at the site of client 0; got 1"):
        data_of([SiteFacts(ONE.classes, 1, 32, (1, 0))])
