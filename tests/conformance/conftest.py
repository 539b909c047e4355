# SPDX-License-Identifier: Apache-2.0
"""Peers x scenarios, and the table of how they went. Options (`./dev conformance` gives them):
--whole          all peers and scenarios, not just those that take little
--connector NAME of a folder below src/connector, a peer's or a connector's; may be repeated
--table FILE     the generated part of FILE is written anew"""
import pytest

from conformance import table
from conformance.case import SCENARIOS, Case, Rig, discover
from conformance.faults import FaultCertificates


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true", default=False)
    parser.addoption("--connector", action="append", default=[])
    parser.addoption("--table", default="")


def chosen(config):
    whole, folders = config.getoption("--whole"), config.getoption("--connector")
    peers = [(folder, peer) for folder, peer in discover()
             if (whole or peer.fast) and (not folders or {folder, peer.name, peer.connector_id} & set(folders))]
    if folders and not peers:
        raise pytest.UsageError(f"no peer in src/connector/{' or '.join(folders)}/conformance.py")
    return [(folder, peer, scenario) for folder, peer in peers for scenario in SCENARIOS.values() if whole or scenario.fast]


def pytest_generate_tests(metafunc):
    if "cell" in metafunc.fixturenames:
        cells = chosen(metafunc.config)
        metafunc.parametrize("cell", cells, ids=[f"{peer.name}-{scenario.name}" for _, peer, scenario in cells])


@pytest.fixture(scope="session")
def fault_certificates(tmp_path_factory):
    return FaultCertificates(tmp_path_factory.mktemp("certificates"))


class Rigs:
    """The rig of the peer under test. A scenario that fails takes it along: the next one gets a new one."""

    def __init__(self, tmp_path_factory, certificates):
        self.factory, self.certificates = tmp_path_factory, certificates
        self.peer_class = self.rig = None

    def get(self, peer_class):
        if self.peer_class is not peer_class:
            self.end()
            self.rig = Rig(self.factory.mktemp(peer_class.name.replace("/", "-")) / "rig", peer_class, self.certificates)
            self.peer_class = peer_class
        return self.rig

    def end(self):
        rig, self.rig, self.peer_class = self.rig, None, None
        if rig:
            rig.stop()


@pytest.fixture(scope="session")
def rigs(tmp_path_factory, fault_certificates):
    made = Rigs(tmp_path_factory, fault_certificates)
    yield made
    made.end()


def run_scenario(rigs, peer_class, scenario, whole=False):
    """Runs one; what is not applicable is skipped with its reason, and never without one."""
    reason = not_applicable(peer_class, scenario)
    if reason:
        pytest.skip(reason)
    case = Case(rigs.get(peer_class), whole)
    try:
        scenario.run(case)
        case.expect_books()
        case.leave()
    except NotImplementedError as error:
        rigs.end()
        raise AssertionError(f"{peer_class.name} can't be brought to do this, and its `without` gives no reason") from error
    except BaseException:
        try:
            rigs.end()
        except AssertionError as error:
            print("and then:", error)
        raise


def not_applicable(peer_class, scenario):
    if scenario.name in peer_class.without:
        return peer_class.without[scenario.name]
    if scenario.tls and not peer_class.tls:
        return "the transport is in clear"
    if scenario.statuses and peer_class.answer is BASE.answer:
        return "the protocol has no statuses"
    if scenario.name == "size_limit" and peer_class.size_limit is None:
        return "the peer has no limit that a report could reach"
    return ""


from conformance.peer import Peer as BASE  # noqa: E402


def pytest_runtest_makereport(item, call):
    """Remembers each cell's outcome for the table."""
    cell = getattr(item, "callspec", None) and item.callspec.params.get("cell")
    if not cell or (call.when != "call" and not call.excinfo):
        return
    folder, peer, scenario = cell
    outcome = "holds", ""
    if call.excinfo:
        skipped = call.excinfo.errisinstance(pytest.skip.Exception)
        outcome = ("not applicable" if skipped else "fails", str(call.excinfo.value).strip().split("\n")[0])
    item.config.stash.setdefault(table.OUTCOMES, {})[peer.name, scenario.name] = (folder, *outcome)


def pytest_sessionfinish(session):
    target = session.config.getoption("--table", default="")
    if target:
        table.write(target, session.config.stash.get(table.OUTCOMES, {}))
