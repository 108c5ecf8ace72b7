"""`python perform.py NAME HOST PORT TM_PORT` plays a scenario and prints what it saw as JSON on its last line."""

from __future__ import annotations

import json
import sys

import actor_scenarios
import api_scenarios
import behaviour_scenarios
import carla
import client_session
import sensor_scenarios
import session_scenarios
import traffic_scenarios

SUBJECTS = (
    session_scenarios,
    actor_scenarios,
    traffic_scenarios,
    sensor_scenarios,
    api_scenarios,
    behaviour_scenarios,
)

if __name__ == "__main__":
    name = sys.argv[1]
    client_session.HOST, client_session.PORT, client_session.TM_PORT = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    client = client_session.CLIENT = carla.Client(client_session.HOST, client_session.PORT)
    client.set_timeout(client_session.WAIT_S)
    scenario = next(getattr(subject, name) for subject in SUBJECTS if hasattr(subject, name))
    print(json.dumps(scenario(client)), flush=True)
