"""Record, train and run semantic segmentation on CARLA, with or without CARLA."""

__version__ = "0.1.0"
