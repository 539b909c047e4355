# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by the tests that run the product: everything started is ended, by its own id."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import kit  # noqa: E402


@pytest.fixture
def ends():
    """Things with a stop() to be ended after the test, last first."""
    things = []
    yield lambda thing: (things.append(thing), thing)[1]
    failures = []
    for thing in reversed(things):
        try:
            thing.stop()
        except Exception as error:  # noqa: BLE001: the others must still be ended
            failures.append(error)
    if failures:
        raise failures[0]


@pytest.fixture
def sluice(tmp_path, ends):
    return ends(kit.Sluice(tmp_path / "sluice"))


@pytest.fixture
def api(sluice):
    return sluice.api()


@pytest.fixture
def broker(tmp_path, ends):
    return ends(kit.Mosquitto(tmp_path / "broker"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return kit.Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def binder(api):
    return kit.make_binder(api)


@pytest.fixture
def device(binder):
    return kit.Device(binder, as_id=kit.AS_ID, as_key=kit.AS_KEY, driver_cfg=kit.CLIMATE)
