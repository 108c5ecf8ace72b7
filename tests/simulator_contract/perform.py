"""`python perform.py NAME HOST PORT TM_PORT` plays a scenario and prints what it saw as JSON on its last line."""

from __future__ import annotations

import json
import sys

import api_scenarios
import behaviour_scenarios
import carla
import scenarios
import sensor_scenarios

if __name__ == "__main__":
    name = sys.argv[1]
    scenarios.HOST, scenarios.PORT, scenarios.TM_PORT = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    scenarios.CLIENT = carla.Client(scenarios.HOST, scenarios.PORT)
    scenarios.CLIENT.set_timeout(scenarios.WAIT_S)
    module = next(
        one for one in (scenarios, sensor_scenarios, api_scenarios, behaviour_scenarios) if hasattr(one, name)
    )
    print(json.dumps(getattr(module, name)(scenarios.CLIENT)), flush=True)
