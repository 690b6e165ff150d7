"""Tokens: a scenario, its seed and settings, and a step, in one short string that opens the same state anywhere.

A token is ``vs1-`` and groups of four letters and digits, in Crockford's base 32: no I, L, O or U, upper and lower case
alike. A checksum of 24 bits is in it: one wrong letter, two that changed places, a letter too many are refused. The
scenario itself is not in it, but a digest of it is: a token of a scenario that has changed since does not open another.

>>> token = make_token("one_page", step=6)
>>> token.encode()
'vs1-0179-ZPRB-0VXP-C9G'
>>> with open_token("vs1-0179-zprb-0vxp-c9g") as run:
...     run.machine.swap.used
1
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.mm.machine import DESIGNS
from vswaplab.strict import choice, instance, load_json, quoted, seed_number, whole_number
from vswaplab.workloads.scenario_compare import operation_name
from vswaplab.workloads.scenario_data import check_scenario, load_scenario, scenario_names
from vswaplab.workloads.scenarios import ScenarioRun, start_scenario

__all__ = ["PREFIX", "Token", "decode_token", "make_token", "open_token"]

PREFIX = "vs1-"

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SAME = str.maketrans("OIL", "011")
_DESIGNS = (None, "virtual", "legacy")
_EVENT, _SEED, _SETTINGS = 4, 8, 16
_DIGEST_BYTES = 4
_CRC_BYTES = 3
_CRC_POLYNOMIAL = 0x1864CFB  # of OpenPGP: every burst of up to 24 bits is found
_MAX_NUMBER = (1 << 32) - 1
_MAX_TEXT = 1000


@dataclass(frozen=True)
class Token:
    """A state of a scenario: after its first `step` operations, on a machine with other settings if there are any."""

    scenario: Mapping[str, Any]
    step: int
    """Operations done."""
    design: str | None = None
    """None: as the scenario says; so for the seed."""
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the machine, as a scenario has them under "machine"."""
    event: int | None = None
    """Where a stepper stands; None: after the last event."""

    def __post_init__(self) -> None:
        whole_number(self.step, "A token's step", 0, len(self.scenario["operations"]))
        if self.design is not None:
            choice(self.design, "design", sorted(DESIGNS))
        if self.seed is not None:
            seed_number(self.seed)
        if self.event is not None:
            whole_number(self.event, "A token's event", 0, _MAX_NUMBER)
        if {"design", "seed"} & self.settings.keys():
            raise InvalidArgument("design and seed have places of their own in a token; leave them out of settings.")
        check_scenario(self.configured())

    def configured(self) -> dict[str, Any]:
        """Return the scenario with the token's design, seed and settings in it."""
        machine = {**self.scenario.get("machine", {}), **self.settings}
        machine |= {name: value for name, value in (("design", self.design), ("seed", self.seed)) if value is not None}
        return {**self.scenario, "machine": machine}

    def encode(self) -> str:
        """Return the token as text."""
        flags = _DESIGNS.index(self.design) | _EVENT * (self.event is not None)
        flags |= _SEED * (self.seed is not None) | _SETTINGS * bool(self.settings)
        numbers = [self.step, *(each for each in (self.event, self.seed) if each is not None)]
        payload = bytes([flags]) + _digest(self.scenario) + b"".join(map(_varint, numbers))
        if self.settings:
            payload += json.dumps(self.settings, sort_keys=True, separators=(",", ":")).encode()
        return _written(payload + _crc(payload))

    def describe(self) -> dict[str, Any]:
        """Return what the token says, by name."""
        operations, machine = self.scenario["operations"], self.configured()["machine"]
        return {
            "token": self.encode(),
            "scenario": self.scenario["name"],
            "design": machine.get("design", "virtual"),
            "seed": machine.get("seed", 0),
            "settings": dict(self.settings),
            "step": self.step,
            "operations": len(operations),
            "last": operation_name(operations[self.step - 1]) if self.step else "",
            "next": operation_name(operations[self.step]) if self.step < len(operations) else "",
            "event": self.event,
        }


def make_token(
    scenario: Mapping[str, Any] | str | Path,
    *,
    step: int | None = None,
    design: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    event: int | None = None,
) -> Token:
    """Return the token of a scenario (its data, or a name or path) after `step` operations, all of them unless told."""
    if isinstance(scenario, str | Path):
        scenario = load_scenario(scenario)
    else:
        check_scenario(scenario)
    if settings is not None:
        instance(settings, dict, "A token's settings")
    step = len(scenario["operations"]) if step is None else step
    return Token(scenario, step, design, seed, dict(settings or {}), event)


def decode_token(text: str, scenario: Mapping[str, Any] | str | Path | None = None) -> Token:
    """Return what a token says; InvalidArgument in one sentence for a typing error.

    A scenario of your own, which does not ship, is given as `scenario`; NotFound where the token is of none known.
    """
    payload = _payload(text)
    flags, digest = payload[0], payload[1 : 1 + _DIGEST_BYTES]
    numbers, rest = [], payload[1 + _DIGEST_BYTES :]
    for _ in range(1 + bool(flags & _EVENT) + bool(flags & _SEED)):
        number, rest = _take_varint(rest)
        numbers.append(number)
    if flags & 3 == 3 or flags >> 5 or bool(rest) != bool(flags & _SETTINGS):
        raise _not_ours()
    settings = load_json(rest, "The settings in the token") if rest else {}
    if not isinstance(settings, dict):
        raise _not_ours()
    event = numbers[1] if flags & _EVENT else None
    seed = numbers[-1] if flags & _SEED else None
    return Token(_scenario_of(digest, scenario), numbers[0], _DESIGNS[flags & 3], seed, settings, event)


def open_token(
    token: Token | str, scenario: Mapping[str, Any] | str | Path | None = None, folder: str | Path | None = None
) -> ScenarioRun:
    """Return the machine in the state that a token names, and the names of what is in it; close it when done.

    Arguments as for `decode_token` and `run_scenario`.
    """
    if not isinstance(token, Token):
        token = decode_token(token, scenario)
    player = start_scenario(token.configured(), folder=folder)
    try:
        for number in range(token.step):
            player.do(number)
    except BaseException:
        player.machine.close()
        raise
    return player.run


# -- scenarios by digest -----------------------------------------------------------------------------------------------


def _digest(scenario: Mapping[str, Any]) -> bytes:
    """Return the digest of what a scenario does; its name and what is said about it may change."""
    told = {"machine": scenario.get("machine", {}), "operations": scenario["operations"]}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).digest()[:_DIGEST_BYTES]


def _scenario_of(digest: bytes, given: Mapping[str, Any] | str | Path | None) -> Mapping[str, Any]:
    if given is not None:
        scenario = make_token(given).scenario
        if _digest(scenario) != digest:
            raise InvalidArgument(f"The token is not of the scenario {quoted(scenario['name'])}, or that has changed.")
        return scenario
    if digest in _shipped():
        return _shipped()[digest]
    raise NotFound("The token is of a scenario that does not ship, or has changed since; give the scenario's file too.")


@cache
def _shipped() -> dict[bytes, Mapping[str, Any]]:
    """Return the scenarios that ship, by digest."""
    return {_digest(scenario): scenario for scenario in map(load_scenario, scenario_names())}


# -- bytes and text ----------------------------------------------------------------------------------------------------


def _payload(text: object) -> bytes:
    """Return the bytes that a token's text stands for, its checksum checked and taken off."""
    if not isinstance(text, str) or len(text) > _MAX_TEXT:
        raise InvalidArgument(f"A token is text that begins with {PREFIX}, not {quoted(text)}.")
    plain = text.strip()
    version = re.match(r"vs([0-9]{1,4})-", plain, re.IGNORECASE | re.ASCII)
    if version is not None and version[0].lower() != PREFIX:
        raise InvalidArgument(f"This is a token of version {version[1]}, and version 1 is read here; make a new one.")
    if version is None:
        raise InvalidArgument(f"{quoted(plain)} is no token: it would begin with {PREFIX}; copy all of it.")
    body = plain[len(PREFIX) :].upper().translate(_SAME)
    letters = body.replace("-", "")
    if strange := next((letter for letter in letters if letter not in _LETTERS), None):
        raise InvalidArgument(f"A token has no {quoted(strange)} in it; copy it again.")
    bits = 0
    for letter in letters:
        bits = bits << 5 | _LETTERS.index(letter)
    nr_bytes, spare = divmod(5 * len(letters), 8)
    raw = (bits >> spare).to_bytes(nr_bytes, "big")
    payload, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    whole = len(payload) > 1 + _DIGEST_BYTES and crc == _crc(payload)
    # Written again it is the same: groups where they were, no bits to spare.
    if not whole or body not in (_written(raw)[len(PREFIX) :], _written(raw)[len(PREFIX) :].replace("-", "")):
        raise InvalidArgument("There is a typing error in the token: its checksum is wrong; copy it again.")
    return payload


def _written(raw: bytes) -> str:
    nr_letters = -(-8 * len(raw) // 5)
    bits = int.from_bytes(raw, "big") << (5 * nr_letters - 8 * len(raw))
    letters = "".join(_LETTERS[bits >> 5 * place & 31] for place in range(nr_letters - 1, -1, -1))
    return PREFIX + "-".join(letters[at : at + 4] for at in range(0, nr_letters, 4))


def _crc(payload: bytes) -> bytes:
    """Return CRC-24 of version, length and payload; without the length, zeros at the end would go unnoticed."""
    crc = 0xB704CE
    for byte in PREFIX.encode() + bytes([len(payload) & 255]) + payload:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc.to_bytes(_CRC_BYTES, "big")


def _varint(number: int) -> bytes:
    """Return a number in bytes of seven bits, the least first; the top bit says that another follows."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _take_varint(raw: bytes) -> tuple[int, bytes]:
    number = 0
    for at, byte in enumerate(raw[:5]):
        number |= (byte & 127) << 7 * at
        if byte < 128:
            if _varint(number) != raw[: at + 1] or number > _MAX_NUMBER:
                break
            return number, raw[at + 1 :]
    raise _not_ours()


def _not_ours() -> InvalidArgument:
    return InvalidArgument("The token was not made by this program, though its checksum is right; make a new one.")
