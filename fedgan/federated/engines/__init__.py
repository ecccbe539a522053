"""What engines share, whether they train here or elsewhere."""
