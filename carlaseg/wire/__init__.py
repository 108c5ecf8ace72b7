"""CARLA 0.9.16's wire protocol without input or output: bytes in, messages out; messages in, bytes out.

Rule 1: no socket, thread, clock or file in this package. Whoever owns a socket hands its bytes to a parser here.
Rule 2: whatever bytes a peer sends, the only exception that leaves a parser is `carlaseg.errors.ProtocolError`.
Rule 3: sizes are checked against their caps before memory is taken for them.

    structs          positional msgpack arrays <-> frozen dataclasses, from the dataclass's own field order
    values           the dataclasses: actors, settings, controls, physics
    commands         the commands of `apply_batch`
    rpc              requests as they arrive, replies as bytes
    stream           tokens, the subscription, the header of every sensor message
    sensor_payloads  what follows the header: images, GNSS, IMU, collisions
    episode_state    the world observer's message, one entry an actor
"""
