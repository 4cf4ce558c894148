"""What the browser checks share: arguments, patience, a broker that can be restarted."""

import argparse
import os
import signal
import subprocess
import tempfile
import time

PATIENCE = 10.0
PASSWORD = "open sesame"


class Failure(Exception):
    """A check did not hold."""


def expect(holds, why):
    if not holds:
        raise Failure(why)


def until(what, look, patience=PATIENCE):
    """Waits until `look` gives something that is true, and returns it."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what} did not come")
        time.sleep(0.02)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the broker")
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--shots", required=True, help="the folder for screenshots")
    parser.add_argument("--only", help="run the checks whose name has this in it")
    return parser.parse_args()


class Broker:
    """A broker with an admin port and a folder that outlives it."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="rollcall-browser-")
        self.process = None
        self.admin = "127.0.0.1:0"
        self.mqtt = "127.0.0.1:0"
        self.ws = "127.0.0.1:0"
        # For WebSocket too, and for pages of another site only.
        self.closed = "127.0.0.1:0"
        self.start()

    def start(self):
        """Again where it was before, so that open pages find it."""
        self.process = subprocess.Popen(
            [self.program, "--bind", self.mqtt, "--ws-bind", self.ws, "--admin", self.admin, "--data-dir", os.path.join(self.folder.name, "data"),
             "--set", "listeners.closed.kind=ws", "--set", f"listeners.closed.bind={self.closed}",
             "--set", "listeners.closed.origins=https://app.example.com"],
            env=os.environ | {"ROLLCALL_ADMIN__PASSWORD": PASSWORD, "ROLLCALL_LOG__LEVEL": "error"},
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        words = dict(word.split("=", 1) for word in line.split()[2:]) if line.startswith("rollcall ready") else {}
        expect("admin" in words, f"the broker is not ready: {line!r}")
        self.admin, self.mqtt, self.ws, self.closed = words["admin"], words["mqtt"], words["ws"], words["closed"]
        self.port = int(self.mqtt.rpartition(":")[2])
        self.url = f"http://{self.admin}"

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
