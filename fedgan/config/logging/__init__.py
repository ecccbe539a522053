"""Loggers: which there are, what a round sends them, and Weights & Biases as its users expect it."""
