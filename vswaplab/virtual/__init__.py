"""The virtual swap layer: virtual slots in clusters, their descriptors, the backings that they move through [S1]."""
