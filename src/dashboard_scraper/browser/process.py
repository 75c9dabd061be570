"""The browser's process, and the two pipes over which it speaks the DevTools protocol.

Pipes, not a port: anybody who can connect to a DevTools port can read every cookie, and every
process of any user of the machine can try to, and with some tricks a web page. Pipes belong only to
the two processes, and need no library; and if this program is killed, the browser sees its pipes
end and closes.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO, cast

from dashboard_scraper.errors import UsageError

_PRIVATE_UMASK = 0o077
# Chromium reads commands from descriptor 3 and writes answers to 4. `Popen` gives a child only 0, 1
# and 2 by number, so a shell moves them, and then replaces itself with the browser.
_MOVE_PIPES = 'exec "$@" 3<&0 4>&1 </dev/null >&2'
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] ?")
_NOISE = re.compile(r"dbus|gcm|vaapi|Gtk-|libva", re.IGNORECASE)


class Process:
    """A started browser. Its new files are private, whatever this program's umask is."""

    def __init__(
        self, program: Path, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            if sys.platform == "win32":
                self._start_on_windows(program, arguments, environment)
            else:
                self._start(program, arguments, environment)
        except OSError as error:
            self._log.close()
            raise UsageError(
                f"{program} could not be started: {error.strerror}; set BROWSER_PATH to another"
                " browser, or paste the cookie with --auth"
            ) from error

    def _start(
        self, program: Path, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._popen = subprocess.Popen(  # noqa: S603 - the user's own browser
            ["/bin/sh", "-c", _MOVE_PIPES, "sh", program, "--remote-debugging-pipe", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            umask=_PRIVATE_UMASK,
            start_new_session=True,  # Ctrl-C is for this program, which then closes the browser
        )
        self.commands = cast(IO[bytes], self._popen.stdin)
        self.answers = cast(BufferedIOBase, self._popen.stdout)

    def _start_on_windows(
        self, program: Path, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Windows passes handles instead of descriptors: only the two that are listed."""
        import msvcrt  # noqa: PLC0415 - only there

        from_us, commands = os.pipe()
        answers, to_us = os.pipe()
        handles = [msvcrt.get_osfhandle(end) for end in (from_us, to_us)]  # type: ignore[attr-defined]
        for handle in handles:
            os.set_handle_inheritable(handle, True)  # type: ignore[attr-defined]
        pipes = f"--remote-debugging-io-pipes={handles[0]},{handles[1]}"
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles})  # type: ignore[attr-defined]
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - as above
                [program, "--remote-debugging-pipe", pipes, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=environment,
                startupinfo=startup,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,  # type: ignore[attr-defined]
            )
        finally:
            os.close(from_us)
            os.close(to_us)
        self.commands, self.answers = os.fdopen(commands, "wb"), os.fdopen(answers, "rb")

    def ended(self, seconds: float) -> int | None:
        """The exit code, negative for a signal, if it ends in time; None if it is still running."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self) -> str:
        """The last line of interest that it wrote to standard error; empty if there is none."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        words = [_LOG_PREFIX.sub("", line).strip() for line in lines if not _NOISE.search(line)]
        return next((line[:300] for line in reversed(words) if line), "")

    def close(self) -> None:
        """Kill it and its child processes if it is still running, and close the pipes."""
        if sys.platform == "win32":
            self._popen.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        with contextlib.suppress(OSError):  # a command that was never read
            self.commands.close()
        self._log.close()
