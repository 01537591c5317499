"""Generative stories: one file, one joint density; they know nothing of the objectives that fit them."""

from latentia.models.independent_pixels import IndependentPixels
from latentia.models.ppca import PPCA
from latentia.models.vae import VariationalAutoencoder

__all__ = ["PPCA", "IndependentPixels", "VariationalAutoencoder"]
