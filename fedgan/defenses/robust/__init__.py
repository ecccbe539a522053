"""Rules on clients' updates that a part of the clients cannot turn as they like."""
