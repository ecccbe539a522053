"""The paper's tables and figures: which runs they need, how these are carried out, what is told of them."""
