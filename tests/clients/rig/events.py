"""Presence events: what they must look like, and a watcher that hands them out in order."""

import json
import re
import time

from . import Failure, equal, expect, shorten
from .programs import Subscriber

CONNECTED = [
    ("username", str),
    ("ts", int),
    ("sockport", int),
    ("proto_ver", int),
    ("proto_name", str),
    ("keepalive", int),
    ("ipaddress", str),
    ("expiry_interval", int),
    ("connected_at", int),
    ("connack", int),
    ("clientid", str),
    ("clean_start", bool),
]
DISCONNECTED = [
    ("username", str),
    ("ts", int),
    ("sockport", int),
    ("reason", str),
    ("proto_ver", int),
    ("proto_name", str),
    ("ipaddress", str),
    ("disconnected_at", int),
    ("clientid", str),
]
FILTER = "$SYS/brokers/+/clients/#"
PROTOCOLS = {"31": (3, "MQIsdp"), "311": (4, "MQTT"), "5": (5, "MQTT")}


def parse(node, topic, payload):
    """Checks one event and returns its kind and its fields."""
    start = f"$SYS/brokers/{node}/clients/"
    expect(topic.startswith(start), f"topic {topic!r} does not start with {start!r}")
    spelled, _, kind = topic.removeprefix(start).rpartition("/")
    expect(kind in ("connected", "disconnected"), f"topic {topic!r} ends with {kind!r}")
    try:
        pairs = json.loads(payload, object_pairs_hook=list)
    except ValueError as error:
        raise Failure(f"{topic}: {error}: {shorten(payload)}") from None
    wanted = CONNECTED if kind == "connected" else DISCONNECTED
    equal([key for key, _ in pairs], [key for key, _ in wanted], f"keys of {topic}")
    for (key, value), (_, kind_of) in zip(pairs, wanted):
        expect(type(value) is kind_of, f"{topic}: {key} is {value!r}, not of {kind_of}")
    event = dict(pairs)
    escapes = {"+": "%2B", "#": "%23", "%": "%25"}
    wanted = re.sub(r"[+#]|%(?=2[B35])", lambda found: escapes[found[0]], event["clientid"])
    equal(spelled, wanted, f"client id in topic {topic}")
    moment = event["connected_at" if kind == "connected" else "disconnected_at"]
    expect(moment <= event["ts"], f"{topic}: ts {event['ts']} is before {moment}")
    expect(abs(event["ts"] - time.time() * 1000) < 300_000, f"{topic}: ts {event['ts']} is not now in ms")
    return kind, event


class Watcher:
    """`mosquitto_sub -v` on all presence events."""

    def __init__(self, broker, *arguments, version="311"):
        self.broker = broker
        # What `-v` prints, with a mark in front that no other line has.
        self.subscriber = Subscriber(broker, "-i", f"watcher-{version}", "-q", "1", "-t", FILTER, *arguments,
                                     version=version, form="%t\t%p")
        # The watcher may see its own coming, depending on what is faster; a marker ends that.
        self.skip_to("marker")

    def next(self):
        topic, payload = self.subscriber.message("presence event")
        kind, event = parse(self.broker.node, topic, payload)
        equal(event["sockport"], self.broker.port, "sockport")
        equal(event["ipaddress"], self.broker.host, "ipaddress")
        return kind, event

    def skip_to(self, client_id):
        """Lets a client come and go, and skips all events up to its going."""
        from .programs import publish

        publish(self.broker, "-i", client_id, "-t", "marker", "-m", "")
        while True:
            kind, event = self.next()
            if (kind, event["clientid"]) == ("disconnected", client_id):
                return

    def connected(self, client_id, **fields):
        return self._expect("connected", client_id, fields)

    def disconnected(self, client_id, reason, **fields):
        return self._expect("disconnected", client_id, {"reason": reason, **fields})

    def _expect(self, wanted, client_id, fields):
        kind, event = self.next()
        equal((kind, event["clientid"]), (wanted, client_id), f"the next event (reason {event.get('reason')})")
        for key, value in fields.items():
            equal(event[key], value, f"{key} of {client_id} {kind}")
        return event
