"""The label schemes themselves: ids, names and colours.

Source:
    CARLA: the enum `carla.CityObjectLabel` and the palette in `CityScapesPalette.h`, checked byte for byte in the
    client wheels of 0.9.12 to 0.9.16; 0.9.0 to 0.9.9 and ue5-dev from their headers. The enum's NONE is called
    Unlabeled here.
    The break between 23 and 29 tags is exactly 0.9.13 -> 0.9.14, although the documentation kept the old table until
    0.9.15.
    Cityscapes: `labels.py` of cityscapesScripts. CamVid: the 11 classes of SegNet and FC-DenseNet. KITTI Road: its
        devkit.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from carlaseg.errors import ConfigError
from carlaseg.labels.scheme import IGNORE_ID, LabelClass, LabelScheme


def _scheme(name: str, title: str, table: str, ignore_ids: frozenset[int] = frozenset()) -> LabelScheme:
    """A scheme from lines of `id name red,green,blue`; names may hold spaces."""
    classes = []
    for line in table.strip().splitlines():
        number, *words, color = line.split()
        red, green, blue = (int(value) for value in color.split(","))
        classes.append(LabelClass(int(number), " ".join(words), (red, green, blue)))
    return LabelScheme(name, title, tuple(classes), ignore_ids | {IGNORE_ID})


_CARLA_13 = """
0 Unlabeled 0,0,0
1 Building 70,70,70
2 Fence 190,153,153
3 Other 250,170,160
4 Pedestrian 220,20,60
5 Pole 153,153,153
6 RoadLine 157,234,50
7 Road 128,64,128
8 Sidewalk 244,35,232
9 Vegetation 107,142,35
10 Vehicles 0,0,142
11 Wall 102,102,156
12 TrafficSign 220,220,0
"""

# Fence, Other and Terrain have colours of their own in these four releases.
_CARLA_23 = """
0 Unlabeled 0,0,0
1 Buildings 70,70,70
2 Fences 100,40,40
3 Other 55,90,80
4 Pedestrians 220,20,60
5 Poles 153,153,153
6 RoadLines 157,234,50
7 Roads 128,64,128
8 Sidewalks 244,35,232
9 Vegetation 107,142,35
10 Vehicles 0,0,142
11 Walls 102,102,156
12 TrafficSigns 220,220,0
13 Sky 70,130,180
14 Ground 81,0,81
15 Bridge 150,100,100
16 RailTrack 230,150,140
17 GuardRail 180,165,180
18 TrafficLight 250,170,30
19 Static 110,190,160
20 Dynamic 170,120,50
21 Water 45,60,150
22 Terrain 145,170,100
"""

_CARLA_29 = """
0 Unlabeled 0,0,0
1 Roads 128,64,128
2 Sidewalks 244,35,232
3 Buildings 70,70,70
4 Walls 102,102,156
5 Fences 190,153,153
6 Poles 153,153,153
7 TrafficLight 250,170,30
8 TrafficSigns 220,220,0
9 Vegetation 107,142,35
10 Terrain 152,251,152
11 Sky 70,130,180
12 Pedestrians 220,20,60
13 Rider 255,0,0
14 Car 0,0,142
15 Truck 0,0,70
16 Bus 0,60,100
17 Train 0,80,100
18 Motorcycle 0,0,230
19 Bicycle 119,11,32
20 Static 110,190,160
21 Dynamic 170,120,50
22 Other 55,90,80
23 Water 45,60,150
24 RoadLines 157,234,50
25 Ground 81,0,81
26 Bridge 150,100,100
27 RailTrack 230,150,140
28 GuardRail 180,165,180
"""

# ue5-dev after 0.10.0. Whether the packaged 0.10.0 has 29 or 30 tags is not known; 29 of them agree in either case.
_CARLA_30 = _CARLA_29 + "29 Rock 180,130,70\n"

# License plate is -1 there, so 255 in a byte.
_CITYSCAPES = """
0 unlabeled 0,0,0
1 ego vehicle 0,0,0
2 rectification border 0,0,0
3 out of roi 0,0,0
4 static 0,0,0
5 dynamic 111,74,0
6 ground 81,0,81
7 road 128,64,128
8 sidewalk 244,35,232
9 parking 250,170,160
10 rail track 230,150,140
11 building 70,70,70
12 wall 102,102,156
13 fence 190,153,153
14 guard rail 180,165,180
15 bridge 150,100,100
16 tunnel 150,120,90
17 pole 153,153,153
18 polegroup 153,153,153
19 traffic light 250,170,30
20 traffic sign 220,220,0
21 vegetation 107,142,35
22 terrain 152,251,152
23 sky 70,130,180
24 person 220,20,60
25 rider 255,0,0
26 car 0,0,142
27 truck 0,0,70
28 bus 0,60,100
29 caravan 0,0,90
30 trailer 0,0,110
31 train 0,80,100
32 motorcycle 0,0,230
33 bicycle 119,11,32
"""

_CITYSCAPES_TRAIN = """
0 road 128,64,128
1 sidewalk 244,35,232
2 building 70,70,70
3 wall 102,102,156
4 fence 190,153,153
5 pole 153,153,153
6 traffic light 250,170,30
7 traffic sign 220,220,0
8 vegetation 107,142,35
9 terrain 152,251,152
10 sky 70,130,180
11 person 220,20,60
12 rider 255,0,0
13 car 0,0,142
14 truck 0,0,70
15 bus 0,60,100
16 train 0,80,100
17 motorcycle 0,0,230
18 bicycle 119,11,32
"""

_CAMVID = """
0 Sky 128,128,128
1 Building 128,0,0
2 Pole 192,192,128
3 Road 128,64,128
4 Pavement 60,40,222
5 Tree 128,128,0
6 SignSymbol 192,128,128
7 Fence 64,64,128
8 Car 64,0,128
9 Pedestrian 64,64,0
10 Bicyclist 0,128,192
"""

_KITTI_ROAD = """
0 not road 255,0,0
1 road 255,0,255
"""

SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            _scheme("carla-0.9.0", "CARLA 0.9.0 to 0.9.9 (13 tags)", _CARLA_13),
            _scheme("carla-0.9.10", "CARLA 0.9.10 to 0.9.13 (23 tags)", _CARLA_23),
            _scheme("carla-0.9.14", "CARLA 0.9.14 to 0.9.16 (29 tags)", _CARLA_29),
            _scheme("carla-ue5", "CARLA on Unreal Engine 5 (30 tags)", _CARLA_30),
            # The first four say that nobody looked there, not what is there.
            _scheme("cityscapes", "Cityscapes (34 ids)", _CITYSCAPES, frozenset({0, 1, 2, 3})),
            _scheme("cityscapes-train", "Cityscapes (19 train ids)", _CITYSCAPES_TRAIN),
            _scheme("camvid", "CamVid (11 classes and void)", _CAMVID, frozenset({11})),
            _scheme("kitti-road", "KITTI Road (road or not)", _KITTI_ROAD),
        )
    }
)
"""Every label scheme by name."""


def scheme(name: str) -> LabelScheme:
    """The label scheme of that name.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    close = difflib.get_close_matches(name.lower(), SCHEMES, n=1, cutoff=0.4)
    nearest = f" Nearest: {close[0]}." if close else ""
    raise ConfigError(f"label scheme: expected one of {', '.join(SCHEMES)}, received {name!r}.{nearest}")
