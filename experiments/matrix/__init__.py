"""The study of the full matrix: every attack against every defense, on real images."""
