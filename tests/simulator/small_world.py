"""A straight street with one traffic light, a renderer that paints numbers, and a server for both in a thread."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgpack
import numpy as np

from carlaseg.errors import SimulatorError
from carlaseg.simulator.faults.calls import Life
from carlaseg.simulator.faults.stage import set_the_stage
from carlaseg.simulator.recording_file import RecordingFolder
from carlaseg.simulator.scene import CameraSpec, LevelBox, Pose, Town, TrafficLightSite
from carlaseg.simulator.server import RpcServer, listen
from carlaseg.simulator.simulation import Simulation
from carlaseg.simulator.stream_server import StreamServer

LANE = '<lane id="{}" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
OPENDRIVE = (
    '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="street" version="1">'
    "<geoReference><![CDATA[+proj=tmerc +lat_0=49 +lon_0=8]]></geoReference></header>"
    '<road name="street" length="200" id="1" junction="-1"><link/>'
    '<planView><geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView>'
    '<lanes><laneSection s="0"><left>'
    + LANE.format(1)
    + '</left><center><lane id="0" type="none" level="false"/></center>'
    "<right>" + LANE.format(-1) + "</right></laneSection></lanes></road></OpenDRIVE>"
)


def light_site(signal_id="7", phase=0, x=100.0, junction=1) -> TrafficLightSite:
    zone = np.array([(x - 10, 0), (x, 0), (x, 3.5), (x - 10, 3.5)], np.float32)
    return TrafficLightSite(
        signal_id,
        Pose(x, 5.0),
        (-1.75, 0.0, 1.0),
        (1.75, 1.0, 1.0),
        junction,
        phase,
        (zone,),
        np.array([[x, -5.0, 4.0]], np.float32),
        0.0,
    )


def street(name="street", heights=None, lights=None) -> Town:
    quads = np.array([[(x, 4, 0), (x + 5, 4, 0), (x + 5, 6, 0), (x, 6, 0)] for x in range(0, 200, 5)], np.float32)
    return Town(
        name=name,
        seed=0,
        opendrive=OPENDRIVE,
        spawn_points=tuple(Pose(20.0 * i, 1.75, 0.5) for i in range(1, 9)),
        parts=(),
        traffic_lights=(light_site("7", 0), light_site("8", 1, 150.0)) if lights is None else lights,
        walk_quads=quads,
        walk_areas=np.ones(len(quads), np.uint8),
        level_boxes=(LevelBox(3, Pose(60.0, 20.0, 5.0), (5.0, 5.0, 5.0)),),
        lamp_positions=np.zeros((0, 3), np.float32),
        bounds_town=(0.0, -50.0, 200.0, 50.0),
        road_height_grid=np.zeros((26, 51), np.float32) if heights is None else heights,
        road_height_cell_m=4.0,
    )


class Streets:
    """Two streets by name."""

    def names(self):
        return ("street", "avenue")

    def has(self, name):
        return name in self.names()

    def build(self, name, opendrive):
        return street(name)


class NumberPainter:
    """A renderer whose pixels are the camera's key, and that fails when told to."""

    def __init__(self, town, weather):
        self.cameras: dict[int, CameraSpec] = {}
        self.weather = weather
        self.broken: set[int] = set()
        self.closed = False
        self.threads: set[int] = set()
        self.may_draw = threading.Event()
        self.may_draw.set()

    def set_weather(self, weather):
        self.weather = weather

    def add_camera(self, spec):
        if (spec.height, spec.width) == (13, 13):
            raise SimulatorError("13x13: unlucky")
        key = len(self.cameras) + 1
        self.cameras[key] = spec
        return key

    def remove_camera(self, key):
        del self.cameras[key]

    def render(self, views, frame):
        self.threads.add(threading.get_ident())
        assert self.may_draw.wait(10)
        images = {}
        for key, _ in views:
            if key in self.broken:
                raise ValueError(f"camera {key} is broken")
            spec = self.cameras[key]
            images[key] = np.full((spec.height, spec.width, 4), key, np.uint8)
        return images

    def close(self):
        self.closed = True


class RawClient:
    """Speaks the RPC protocol by hand, well or badly."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._unpacker = msgpack.Unpacker(raw=False)
        self._msgid = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, *args, wants_reply=True):
        self._msgid += 1
        self.socket.sendall(msgpack.packb([0, self._msgid, method, [[not wants_reply], *args]]))
        return self._msgid

    def receive(self):
        while True:
            for message in self._unpacker:
                return message
            chunk = self.socket.recv(65536)
            if not chunk:
                raise ConnectionError("closed by the server")
            self._unpacker.feed(chunk)

    def call(self, method, *args):
        """The wrapped result of a call: (error, result)."""
        msgid = self.send(method, *args)
        kind, replied, error, result = self.receive()
        assert (kind, replied) == (1, msgid)
        return error, result

    def value(self, method, *args):
        error, result = self.call(method, *args)
        assert error is None, error
        ((index, value),) = result
        assert index == 1, value
        return value

    def error(self, method, *args) -> str:
        error, result = self.call(method, *args)
        assert error is None, error
        ((failed, (text,)),) = result
        assert failed in (0, True)
        return text


class RawStream:
    """A subscriber by hand."""

    def __init__(self, port: int, stream_id: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(struct.pack("<I", stream_id))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def message(self) -> bytes:
        (length,) = struct.unpack("<I", self._exactly(4))
        return self._exactly(length)

    def frame(self) -> int:
        return struct.unpack_from("<Q", self.message(), 8)[0]

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            chunk = self.socket.recv(count - len(received))
            if not chunk:
                raise ConnectionError("closed by the server")
            received += chunk
        return received


TRANSFORM = [[20.0, 1.75, 0.5], [0.0, 0.0, 0.0]]


@dataclass
class Served:
    simulation: Simulation
    server: RpcServer
    streams: StreamServer
    painters: list[NumberPainter]

    @property
    def port(self):
        return self.server.port

    def client(self) -> RawClient:
        return RawClient(self.port)

    def stream(self, stream_id: int) -> RawStream:
        return RawStream(self.streams.port, stream_id)

    def spawn_camera(self, client: RawClient, kind="rgb", size="8", parent=0) -> tuple[int, int]:
        """Spawns a camera and returns its actor id and its stream's."""
        attributes = [["image_size_x", 2, size], ["image_size_y", 2, size], ["fov", 3, "90"]]
        record = client.value("spawn_actor", [1, f"sensor.camera.{kind}", attributes], TRANSFORM)
        return record[0], struct.unpack_from("<I", record[5])[0]


def set_synchronous(client: RawClient, on=True):
    settings = client.value("get_episode_settings")
    settings[0], settings[2] = on, [True, 0.05]
    return client.value("set_episode_settings", settings)


@contextlib.contextmanager
def served(plan: str | None = None, recordings: RecordingFolder | None = None) -> Iterator[Served]:
    """A server of the street on free ports; after the block its thread has ended and its ports are free.

    With a plan of faults (TOML text) it misbehaves.
    """
    painters = []

    def painter(town, weather):
        painters.append(NumberPainter(town, weather))
        return painters[-1]

    streams = StreamServer(0)
    faulty = None
    if plan is None:
        simulation = Simulation(Streets(), "street", painter, streams, recordings=recordings)
        server = RpcServer(listen(0), simulation)
    else:
        parts = (Streets(), "street", painter)
        faulty = set_the_stage(listen(0), streams, Life(0, None, plan), parts, 0.05, recordings)
        simulation, server = faulty.simulation, faulty.server
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield Served(simulation, server, streams, painters)
    finally:
        server.stop()
        thread.join(10)
        if faulty is not None:
            faulty.streams.close()
        streams.close()
        simulation.close()
        assert not thread.is_alive()
