"""Robust aggregation: rules on the clients' updates alone, each with a number of malicious clients that it stands."""
