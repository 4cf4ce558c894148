"""Each presence event once, a line of JSON each in a file.

It takes `modules.presence.extended = true`, by which each event has its number (`event`) and its broker's name (`node`).

- The session is kept (a client id of its own, `expiry`), so events that happen while this program is away wait for it.
- A message is acknowledged when its line is written, and not before: who dies in between gets it again.
- So one may come twice. The numbers of a client's events grow; one that is not above the last of that client was written before.
"""

import argparse
import json
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

EVENTS = "$SYS/brokers/+/clients/#"
GAP = "$SYS/brokers/+/presence/gap"
A_WEEK = 7 * 24 * 3600


class Log:
    def __init__(self, path):
        self.last = {}
        # A line without its end was being written when this program died: it comes again.
        whole = 0
        if os.path.exists(path):
            with open(path, "rb") as old:
                for line in old:
                    if line.endswith(b"\n"):
                        whole += len(line)
                        self.is_new(json.loads(line))
        self.file = open(path, "ab")
        self.file.truncate(whole)

    def is_new(self, event):
        key = (event["node"], event["clientid"])
        if event["event"] <= self.last.get(key, -1):
            return False
        self.last[key] = event["event"]
        return True

    def add(self, event):
        if self.is_new(event):
            self.file.write(json.dumps(event).encode() + b"\n")
            self.file.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--user", nargs=2, metavar=("NAME", "PASSWORD"))
    parser.add_argument("--id", default="every-event", help="the client id; another program with it takes over")
    given = parser.parse_args()
    log = Log(given.file)

    def on_connect(client, _data, flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"not let in: {reason}")
        if not flags.session_present:
            print("a new session: what happened before now has not been kept for it", file=sys.stderr)
        client.subscribe([(EVENTS, 1), (GAP, 1)])

    def on_message(client, _data, message):
        told = json.loads(message.payload)
        if message.topic.endswith("/presence/gap"):
            # They can be looked up: /api/v4/presence/events?after=...
            print(f"missed {told['dropped']} events, from {told['from']} to {told['to']}", file=sys.stderr)
        else:
            log.add(told | {"kind": message.topic.rpartition("/")[2]})
        client.ack(message.mid, message.qos)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=given.id, protocol=mqtt.MQTTv5, manual_ack=True)
    client.on_connect, client.on_message = on_connect, on_message
    if given.user:
        client.username_pw_set(*given.user)
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = A_WEEK
    client.connect(given.host, given.port, clean_start=False, properties=kept)
    client.loop_forever()


if __name__ == "__main__":
    main()
