"""From the geometry to the weights: seeds, and the regions that grow from them."""
