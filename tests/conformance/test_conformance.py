# SPDX-License-Identifier: Apache-2.0
"""The scenarios that every connector passes (promises.md): each is written once and knows of its peer what peer.py says.
The whole engine runs; reports go in by the tunnel of a network server. At the end of each, whatever it was, the books are
looked at (Case.expect_books): nothing lost, nothing but the wanted dead letters, no secret shown."""
import time

import pytest

from conformance.case import SCENARIOS, scenario
from conformance.conftest import run_scenario
from conformance.faults import TlsFront
from lib import kit


def test_scenario(rigs, cell):
    _, peer_class, chosen = cell
    run_scenario(rigs, peer_class, chosen)


# ---------------------------------------------------------------- the way to the peer

def away(c, mode, back_by_itself=False, duplicates=False):
    """It works; the peer goes in that way; it works again."""
    devices = c.devices(2)
    c.connect(devices)
    c.send(devices)
    c.expect_all()
    tried = c.gate.accepted
    c.gate.set(mode)
    c.send(devices, 3)
    if mode in ("reset", "stall"):
        # What ended the old connection is not the fault: the next one meets it.
        kit.wait_for(lambda: c.gate.accepted > tried, 30, "the next try")
    c.expect_unreachable()
    c.expect_neighbour_unharmed()
    c.gate.set("pass")
    if back_by_itself:
        c.wait_state("OPENED", seconds=45)
    else:
        c.open_again()
    c.expect_all(duplicates=duplicates)


@scenario("Nobody listens at the peer's address: UNREACHABLE; back by itself within the quick tries (1, 5, 20 s), nothing lost.")
def refused(c):
    away(c, "refuse", back_by_itself=True)


@scenario("Each connection is reset as soon as it is made: as above.")
def reset(c):
    away(c, "reset")


@scenario("The peer takes connections and never says a word: noticed within the connector's time limits, UNREACHABLE.")
def black_hole(c):
    away(c, "stall")


@scenario("The peer takes messages and its acknowledgements get lost: not OPENED for long; sent again, in order.", name="black_hole_in_mid_run")
def black_hole_in_mid_run(c):
    away(c, "mute", duplicates=True)
