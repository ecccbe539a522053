"""A real federation: sites with images of their own, reached over Flower (docs/flower.md).

``flwr`` is imported where a Flower process runs and nowhere else: all of this loads without it.
"""
