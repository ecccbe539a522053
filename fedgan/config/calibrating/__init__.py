"""``python -m fedgan.calibrate``: control runs, and the spread of their losses."""
