"""From the configuration to the parts of a run; ``run`` puts them together."""
