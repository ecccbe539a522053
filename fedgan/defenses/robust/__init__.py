"""Robust aggregation: rules on the clients' updates alone, with the number of malicious clients that each tolerates."""
