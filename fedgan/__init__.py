"""Backdoor attacks on federated GANs for medical images, and the defenses against them."""

__version__ = "0.1.0"
