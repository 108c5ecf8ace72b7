"""A server that misbehaves on purpose, for the tests of whoever has to survive it.

    plan       what is to go wrong and when: TOML in, frozen dataclasses out
    schedule   whether a fault strikes now, the same for the same seed
    frames     faults of sensor streams
    calls      faults of calls and ticks
    door       a loopback port through which a test changes the plan and asks what has happened

A server without a plan runs none of this: the classes here stand in for the plain ones.
"""
