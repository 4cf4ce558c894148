"""MQTT clients: a few that talk, many that are only there."""

import resource
import socket
import struct

import paho.mqtt.client as paho

from rig import expect, until


class Client:
    def __init__(self, broker, client_id, clean=True):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        self.messages = []
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        until(f"{client_id}'s connection", self.client.is_connected)

    def subscribe(self, topic_filter, qos=1):
        done = []
        self.client.on_subscribe = lambda *_: done.append(True)
        self.client.subscribe(topic_filter, qos)
        until("SUBACK", lambda: done)

    def publish(self, topic, payload, qos=1, retain=False):
        self.client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


def allow_files(wanted):
    """How many files a process started from now on may open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, most), max(wanted, most)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def crowd(broker, count, first=0, clean=True):
    """So many clients that are connected and silent; they leave when their sockets are closed."""
    sockets = []
    for start in range(first, first + count, 200):
        some = []
        for number in range(start, min(start + 200, first + count)):
            name = f"crowd-{number:05}".encode()
            body = b"\0\4MQTT\4" + (b"\2" if clean else b"\0") + b"\0\0" + struct.pack(">H", len(name)) + name
            one = socket.create_connection(("127.0.0.1", broker.port))
            one.sendall(bytes((0x10, len(body))) + body)
            some.append(one)
        for one in some:
            one.settimeout(20)
            expect(one.recv(4) == b"\x20\x02\0\0", "CONNACK")
        sockets += some
    return sockets
