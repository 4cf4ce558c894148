"""mosquitto_sub and mosquitto_pub as the checks use them."""

import atexit
import collections
import subprocess
import threading

from . import PATIENCE, Failure, closers, expect, shorten

_running = []


@atexit.register
def _end_all():
    for process in _running:
        if process.poll() is None:
            process.kill()


MARK = ">\t"


class Output:
    """What a program prints: messages, which start with MARK, and the rest; each waited for without a clock."""

    def __init__(self, stream):
        self._messages = collections.deque()
        self._log = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            line = line.decode("utf-8", "surrogateescape").rstrip("\n")
            with self._changed:
                (self._messages if line.startswith(MARK) else self._log).append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def message(self, what):
        """Takes the next message."""
        with self._changed:
            self._wait(lambda: self._messages, what)
            return self._messages.popleft()

    def log(self, start, what):
        """The first other line that starts like this."""
        with self._changed:
            return self._wait(lambda: [line for line in self._log if line.startswith(start)], what)[0]

    def _wait(self, look, what):
        self._changed.wait_for(lambda: look() or self._ended, PATIENCE)
        found = look()
        if not found:
            why = "the program ended" if self._ended else f"waited {PATIENCE:.0f} s"
            raise Failure(f"no {what}: {why}; it said: {shorten(self._log[-4:])}")
        return found


class Subscriber:
    """A mosquitto_sub; messages come as tuples of the fields of FORMAT."""

    FORMAT = "%t\t%q\t%r\t%l\t%p"

    def __init__(self, broker, *arguments, version="311", form=FORMAT, subscribed=True):
        words = ["stdbuf", "-oL", "mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", version, "-d"]
        words += ["-F", MARK + form, *arguments]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        _running.append(self.process)
        closers.append(self.end)
        self.output = Output(self.process.stdout)
        if subscribed:
            self.output.log("Subscribed", f"SUBACK for {arguments}")

    def message(self, what="message"):
        return tuple(self.output.message(what).split("\t")[1:])

    def payload(self, what="message"):
        return self.message(what)[-1]

    def end(self):
        """Kills the program: the connection closes without DISCONNECT."""
        self.process.kill()
        self.process.wait(PATIENCE)


def subscribe_and_leave(broker, *arguments, version="311"):
    """Subscribes and leaves with DISCONNECT."""
    run(["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", version, "-E", *arguments])


def publish(broker, *arguments, version="311", data=None, fails=False):
    """Runs mosquitto_pub to its end."""
    words = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-V", version, *arguments]
    return run(words, data, fails)


def run(words, data=None, fails=False):
    done = subprocess.run(words, input=data, capture_output=True, timeout=PATIENCE)
    if not fails:
        expect(done.returncode == 0, f"{' '.join(words)} failed: {done.stderr.decode()}")
    return done
