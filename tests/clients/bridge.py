"""mosquitto as a bridge to the broker, with the few lines of configuration that its manual has."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from types import SimpleNamespace

from rig import PATIENCE, Failure, arguments, closers, equal, run_checks
from rig.programs import Subscriber, publish

VERSIONS = ("mqttv31", "mqttv311", "mqttv50")


class Bridge:
    """A mosquitto with a bridge to the broker: what is below `both/` goes both ways."""

    def __init__(self, broker, version):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.side = SimpleNamespace(host="127.0.0.1", port=free.getsockname()[1])
        self.folder = tempfile.mkdtemp()
        settings = os.path.join(self.folder, "mosquitto.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"listener {self.side.port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n"
                       f"connection {version}\naddress {broker.host}:{broker.port}\ntopic both/# both 1\n"
                       f"bridge_protocol_version {version}\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL)
        closers.append(self.end)
        self.wait_until_it_listens()

    def wait_until_it_listens(self):
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.side.host, self.side.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise Failure("mosquitto does not start")

    def end(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


def messages_cross_a_bridge_both_ways(broker):
    for version in VERSIONS:
        # Waits for the bridge: it comes over when that has subscribed.
        publish(broker, "-q", "1", "-r", "-t", "both/kept", "-m", "kept")
        bridge = Bridge(broker, version)
        there = Subscriber(bridge.side, "-q", "1", "-t", "both/#")
        equal(there.message()[0::4], ("both/kept", "kept"), f"{version}: what was retained before")
        here = Subscriber(broker, "-q", "1", "-t", "both/#")
        equal(here.message()[0::4], ("both/kept", "kept"), "what is retained here")
        # Each comes once: what a bridge brings does not go back by it.
        publish(broker, "-q", "1", "-t", "both/a", "-m", "from here")
        equal([side.message()[0::4] for side in (here, there)], [("both/a", "from here")] * 2, version)
        publish(bridge.side, "-q", "1", "-t", "both/b", "-m", "from there")
        equal([side.message()[0::4] for side in (here, there)], [("both/b", "from there")] * 2, version)
        # Retained there too.
        publish(broker, "-q", "1", "-r", "-t", "both/later", "-m", "later")
        equal([side.payload() for side in (here, there)], ["later"] * 2, version)
        fresh = Subscriber(bridge.side, "-q", "1", "-t", "both/later")
        equal(fresh.message(), ("both/later", "1", "1", "5", "later"), f"{version}: retained over the bridge")
        for topic in ("both/kept", "both/later"):
            publish(broker, "-q", "1", "-r", "-n", "-t", topic)
        for one in (here, there, fresh, bridge):
            one.end()


if __name__ == "__main__":
    run_checks(__file__, arguments(), [messages_cross_a_bridge_both_ways])
