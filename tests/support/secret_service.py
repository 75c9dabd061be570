"""A real keyring: GNOME's Secret Service on a D-Bus of its own, without a desktop."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jeepney
import pytest
import secretstorage
from jeepney.io.blocking import open_dbus_connection

from conftest import Home

_PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")


@dataclass
class SecretService:
    """A running keyring, unlocked, with nothing in it."""

    bus: str

    def use(self, home: Home) -> None:
        """Runs of the home store their session in it."""
        home.settings |= {"COOKIE_STORE": "keyring", "DBUS_SESSION_BUS_ADDRESS": self.bus}

    def secrets(self) -> dict[str, str]:
        """Every secret in it, by the service to which it belongs."""
        with self._collection() as collection:
            return {
                item.get_attributes()["service"]: item.get_secret().decode()
                for item in collection.get_all_items()
            }

    def put(self, service: str, secret: str) -> None:
        """Replace a secret, as a person may do in the desktop's program."""
        with self._collection() as collection:
            for item in collection.search_items({"service": service}):
                item.set_secret(secret.encode())

    def lock(self) -> None:
        """Lock it; without a desktop, nobody can unlock it again."""
        with self._collection() as collection:
            collection.lock()

    @contextlib.contextmanager
    def _collection(self) -> Iterator[secretstorage.Collection]:
        with contextlib.closing(open_dbus_connection(self.bus)) as connection:
            yield secretstorage.get_default_collection(connection)


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[SecretService]:
    """A bus and a keyring on it, whose files are in the folder; skips where they are missing."""
    if not all(map(shutil.which, _PROGRAMS)):
        assert "CI" not in os.environ, f"CI provides {' and '.join(_PROGRAMS)}"
        pytest.skip("a keyring needs Debian's packages dbus-daemon and gnome-keyring")
    environment = {"PATH": os.environ["PATH"], "HOME": f"{folder}", "XDG_RUNTIME_DIR": f"{folder}"}
    with contextlib.ExitStack() as stack:
        bus = _started(
            stack, environment, "dbus-daemon", "--session", "--nofork", "--print-address"
        )
        assert bus.stdout is not None
        environment["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().decode().strip()
        daemon = _started(
            stack,
            environment,
            "gnome-keyring-daemon",
            "--foreground",
            "--unlock",
            "--components=secrets",
        )
        assert daemon.stdin is not None
        daemon.stdin.write(b"password")
        daemon.stdin.close()
        service = SecretService(environment["DBUS_SESSION_BUS_ADDRESS"])
        _await_name(service.bus)
        yield service


def _started(
    stack: contextlib.ExitStack, environment: dict[str, str], *words: str
) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    process = stack.enter_context(
        subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    )
    stack.callback(process.kill)
    return process


def _await_name(bus: str) -> None:
    """Wait until the Secret Service is on the bus; a request to it would start another."""
    wanted = "org.freedesktop.secrets"
    daemon = jeepney.DBusAddress(
        "/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus"
    )
    rule = jeepney.MatchRule(
        type="signal",
        interface=daemon.interface,
        member="NameOwnerChanged",
        path=daemon.object_path,
    )
    with (
        contextlib.closing(open_dbus_connection(bus)) as connection,
        connection.filter(rule) as signals,
    ):
        connection.send_and_get_reply(
            jeepney.new_method_call(daemon, "AddMatch", "s", (rule.serialise(),))
        )
        reply = connection.send_and_get_reply(
            jeepney.new_method_call(daemon, "NameHasOwner", "s", (wanted,))
        )
        if not reply.body[0]:
            while connection.recv_until_filtered(signals, timeout=60).body[0] != wanted:
                pass
