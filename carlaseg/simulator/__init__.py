"""The embedded simulator: a CARLA server without CARLA. `town` builds the world, `renderer` draws it, `server` speaks.

Nothing is imported here: each part is heavy in its own way and asked for by name.
"""
