"""Drives any CARLA server, the embedded one included, and records what one tick at a time shows."""
