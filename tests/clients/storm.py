"""A presence storm: clients connect, leave, are cut and taken over, 100 at once; every client's events must alternate."""

import asyncio
import random
import socket
import struct

from rig import Failure, arguments, end, equal, expect
from rig.events import FILTER, parse
from rig.wire import DISCONNECT, connect

CONNECTS = 20_000
AT_ONCE = 100
CLIENTS = 300
SEED = 20
PATIENCE = 60.0
# Connects that may be ahead of the events that were read: below the broker's bound for one subscriber's queue.
AHEAD = 2_000


class Stream:
    """What the events say about one client, and what the client itself knows."""

    def __init__(self):
        self.online = False
        self.came = 0
        self.gone_at = 0
        self.sent = 0
        self.accepted = 0


class Storm:
    def __init__(self, broker):
        self.broker = broker
        self.random = random.Random(SEED)
        self.streams = {f"storm-{number}": Stream() for number in range(CLIENTS)}
        self.left = CONNECTS
        self.faults = []
        self.reasons = {}
        self.events = 0
        self.ended = set()
        self.changed = asyncio.Condition()

    async def watch(self):
        """Reads events from a mosquitto_sub until it is ended."""
        words = ["mosquitto_sub", "-h", self.broker.host, "-p", str(self.broker.port), "-i", "storm-watcher", "-q", "1",
                 "-v", "-t", FILTER]
        self.watcher = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
        while line := await self.watcher.stdout.readline():
            topic, payload = line.decode().rstrip("\n").split(" ", 1)
            try:
                self.see(*parse(self.broker.node, topic, payload))
            except Failure as fault:
                self.faults.append(str(fault))
            if not self.watcher.stdout._buffer or self.events % 100 == 0:
                async with self.changed:
                    self.changed.notify_all()

    def see(self, kind, event):
        name = event["clientid"]
        self.events += 1
        if kind == "disconnected" and name.startswith("sentinel"):
            self.ended.add(name)
        stream = self.streams.get(name)
        if stream is None:
            return
        online = kind == "connected"
        if online == stream.online:
            self.faults.append(f"{name}: {kind} twice, after {stream.came} connects")
        stream.online = online
        if online:
            stream.came += 1
            if event["connected_at"] < stream.gone_at:
                self.faults.append(f"{name}: connected_at {event['connected_at']} is before {stream.gone_at}")
        else:
            stream.gone_at = event["disconnected_at"]
            self.reasons[event["reason"]] = self.reasons.get(event["reason"], 0) + 1

    async def until(self, holds, what):
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(holds), PATIENCE)
            except asyncio.TimeoutError:
                raise Failure(f"{what()} after {PATIENCE:.0f} s") from None

    async def one_client(self):
        """Comes and goes until the connects are used up; keeps a few connections to be taken over."""
        kept = []
        while self.left > 0:
            self.left -= 1
            name = self.random.choice(list(self.streams))
            stream = self.streams[name]
            stream.sent += 1
            # Each connect is two events; those of a takeover come with the next connect.
            await self.until(lambda: self.sent() * 2 - self.events < AHEAD * 2, lambda: "the events do not follow")
            level, clean = self.random.choice((3, 4, 5)), self.random.random() < 0.6
            first = connect(name, level, clean, expiry=None if clean else 60)
            reader, writer = await asyncio.open_connection(self.broker.host, self.broker.port)
            way = self.random.random()
            try:
                if way < 0.1:
                    # Gone before CONNACK: whether it was in is the broker's to say.
                    writer.write(first)
                    self.cut(writer, self.random.random() < 0.5)
                    continue
                writer.write(first + (DISCONNECT if way < 0.2 else b""))
                head = await reader.readexactly(4)
                if head[0] != 0x20 or head[3] != 0:
                    self.faults.append(f"{name}: CONNACK {head!r}")
                stream.accepted += 1
                if way < 0.4:
                    writer.write(DISCONNECT)
                    writer.close()
                elif way < 0.7:
                    self.cut(writer, way < 0.55)
                else:
                    kept.append(writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                # Taken over before it was told that it is in.
                writer.close()
            if len(kept) > 5:
                self.cut(kept.pop(self.random.randrange(len(kept))), False)
        for writer in kept:
            self.cut(writer, False)

    def cut(self, writer, reset):
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    def sent(self):
        return CONNECTS - self.left

    async def sentinel(self, name):
        """After the events of a client that came and went later, no earlier ones may follow."""
        _, writer = await asyncio.open_connection(self.broker.host, self.broker.port)
        writer.write(connect(name) + DISCONNECT)
        await self.until(lambda: name in self.ended, lambda: f"no event of {name}")
        writer.close()

    async def run(self):
        watching = asyncio.create_task(self.watch())
        number = 0
        # The subscription is made when a client's events arrive.
        while not self.ended:
            number += 1
            _, writer = await asyncio.open_connection(self.broker.host, self.broker.port)
            writer.write(connect(f"sentinel-{number}") + DISCONNECT)
            await asyncio.sleep(0.05)
            writer.close()
        base, start = self.events, asyncio.get_running_loop().time()
        await asyncio.gather(*(self.one_client() for _ in range(AT_ONCE)))
        await self.until(self.settled, lambda: f"still online or never seen: {self.unsettled()[:5]}")
        took = asyncio.get_running_loop().time() - start
        await self.sentinel("sentinel-last")
        self.watcher.terminate()
        await watching
        for name, stream in self.streams.items():
            if not stream.accepted <= stream.came <= stream.sent:
                self.faults.append(f"{name}: {stream.came} came, {stream.accepted} CONNACKs, {stream.sent} CONNECTs")
            if stream.online:
                self.faults.append(f"{name}: still online")
        print(f"storm: {CONNECTS} connects, {self.events - base} events in {took:.1f} s; reasons {self.reasons}")
        equal(self.faults[:10], [], f"{len(self.faults)} faults")
        expect(self.reasons.get("takeovered", 0) > 50, "hardly a takeover")

    def unsettled(self):
        return [(name, stream.online, stream.came, stream.accepted) for name, stream in self.streams.items()
                if stream.online or stream.came < stream.accepted]

    def settled(self):
        return not self.unsettled()


async def main():
    storm = Storm(arguments())
    try:
        await storm.run()
    except Failure as failure:
        print(f"storm: every client's events alternate ... FAILED: {failure}\n{storm.faults[:10]}")
        code = 1
    else:
        print("storm: every client's events alternate ... ok")
        code = 0
    finally:
        if storm.watcher.returncode is None:
            storm.watcher.kill()
    end(code)


if __name__ == "__main__":
    asyncio.run(main())
