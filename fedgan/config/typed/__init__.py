"""What the user typed: as Hydra is to read it, whether it fits what was chosen, with the quotes that it needs."""
