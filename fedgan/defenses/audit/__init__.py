"""Detectors that look at what each client's generator draws."""
