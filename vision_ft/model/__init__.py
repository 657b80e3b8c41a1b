"""Weights, backbones and the LightningModule; knows no epochs."""
