"""Plans of faults: what may stand in one, and that the same seed strikes the same occasions."""

from __future__ import annotations

import pytest

from carlaseg.errors import ConfigError
from carlaseg.simulator.faults.plan import KINDS, parse_plan
from carlaseg.simulator.faults.schedule import Schedule


def plan(text: str):
    return parse_plan(text, "plan.toml")


def ticks_struck(text: str, count: int = 50) -> list[int]:
    schedule = Schedule(plan(text))
    return [tick for tick in range(1, count + 1) if schedule.of_tick()]


def test_empty_plan_has_no_faults():
    assert plan("").faults == ()


def test_every_kind_can_be_written_with_what_it_requires():
    values = {"seconds": "0.5", "offset": "-3"}
    for name, kind in KINDS.items():
        more = "\n".join(f"{key} = {values[key]}" for key in kind.required)
        (fault,) = plan(f'[[fault]]\nkind = "{name}"\n{more}').faults
        assert fault.kind == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[fault]", "expected TOML"),
        ("sed = 1", "received 'sed'"),
        ('[[fault]]\nkind = "lots"', "Nearest: lost"),
        ('[[fault]]\nkind = "lost"\nat = [0]', "fault 1 (lost), at: expected a whole number of at least 1"),
        ('[[fault]]\nkind = "lost"\nseconds = 1', "received 'seconds'"),
        ('[[fault]]\nkind = "late"', "expected a value for 'seconds'"),
        ('[[fault]]\nkind = "late"\nseconds = -1', "expected a number from 0 to 3600"),
        ('[[fault]]\nkind = "lost"\nchance = 1.5', "expected a number from 0 to 1"),
        ('[[fault]]\nkind = "lost"\nfirst = 5\nlast = 4', "expected 'last' not before 'first'"),
        ('[[fault]]\nkind = "wrong_frame"\noffset = 0', "other than 0"),
        ('[[fault]]\nkind = "dead_stream"\nfor_good = 1', "expected true or false"),
        ('[[fault]]\nkind = "lost"\ncounted = "days"', "expected 'ticks' or 'messages'"),
        ("fault = 3", "expected [[fault]] tables"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(text, words):
    with pytest.raises(ConfigError) as refusal:
        plan(text)
    assert words in refusal.value.message
    assert refusal.value.message.startswith("plan.toml")


def test_occasions_are_exactly_those_written_down():
    assert ticks_struck('[[fault]]\nkind = "stalled_tick"\nseconds = 0\nat = [2, 7]') == [2, 7]
    assert ticks_struck('[[fault]]\nkind = "stalled_tick"\nseconds = 0\nfirst = 3\nlast = 5') == [3, 4, 5]
    assert ticks_struck('[[fault]]\nkind = "stalled_tick"\nseconds = 0\ntimes = 2') == [1, 2]


def test_chances_depend_on_the_seed_alone():
    text = '[[fault]]\nkind = "refused_tick"\nchance = 0.3'
    first = ticks_struck(f"seed = 1\n{text}", 1000)
    assert first == ticks_struck(f"seed = 1\n{text}", 1000)
    assert first != ticks_struck(f"seed = 2\n{text}", 1000)
    assert 200 < len(first) < 400


def test_schedule_goes_on_where_an_earlier_life_ended():
    before = Schedule(plan('[[fault]]\nkind = "death"\ntimes = 1\nat = [2, 3]'))
    assert [len(before.of_tick()) for _ in range(2)] == [0, 1]
    after = Schedule(before.plan, **before.progress())
    assert after.of_tick() == []
    assert after.ticks == 3
