"""Attributes of blueprints as the client is told of them."""

from __future__ import annotations

from carlaseg.wire.values import ActorAttribute, AttributeType


def choice(
    attribute_id: str, kind: AttributeType, value: str, others: tuple[str, ...] = (), only: bool = False
) -> ActorAttribute:
    """Return an attribute the client may change; `others` are recommended, and with `only` no others are allowed."""
    return ActorAttribute(attribute_id, kind, value, others or (value,), True, only)


def fact(attribute_id: str, kind: AttributeType, value: str) -> ActorAttribute:
    """Return an attribute the client may read."""
    return ActorAttribute(attribute_id, kind, value, (), False, False)
