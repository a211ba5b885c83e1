"""A plugin for napari: an image layer in, the reconstruction and the classical answer out."""
