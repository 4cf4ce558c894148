"""paho-mqtt, driven by hand: a client that does nothing between two calls, and so can fall silent or be taken over."""

import time

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes

from . import PATIENCE, Failure, closers, expect

PROTOCOLS = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def properties(kind, **values):
    result = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        setattr(result, name, value)
    return result


class Client:
    def __init__(self, broker, client_id="", version="311", clean=True, keep_alive=60, expiry=None, username=None,
                 password=None, will=None, max_inflight=None, more=None, connect=True):
        self.version = version
        closers.append(self.cut)
        extra = {} if version == "5" else {"clean_session": clean}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=PROTOCOLS[version],
                                reconnect_on_failure=False, **extra)
        if username is not None:
            self.paho.username_pw_set(username, password)
        if will is not None:
            self.paho.will_set(**will)
        if max_inflight is not None:
            self.paho.max_inflight_messages_set(max_inflight)
        self.messages = []
        self.answer = None
        self.closed = None
        self._done = set()
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = self._on_disconnect
        self.paho.on_message = lambda client, data, message: self.messages.append(message)
        self.paho.on_publish = lambda client, data, mid, reason, props: self._done.add(mid)
        self.paho.on_subscribe = lambda client, data, mid, reasons, props: self._answers.update({mid: reasons})
        self.paho.on_unsubscribe = lambda client, data, mid, reasons, props: self._answers.update({mid: reasons})
        self._answers = {}
        extra = {}
        if version == "5":
            extra["clean_start"] = clean
            more = dict(more or {})
            if expiry is not None:
                more["SessionExpiryInterval"] = expiry
            extra["properties"] = properties("CONNECT", **more)
        self.paho.connect(broker.host, broker.port, keepalive=keep_alive, **extra)
        if connect:
            self.until(lambda: self.answer is not None, "CONNACK")
            expect(not self.reason.is_failure, f"CONNACK for {client_id!r}: {self.reason}")

    def _on_connect(self, client, data, flags, reason, props):
        self.reason, self.session_present, self.answer = reason, flags.session_present, props or True

    def _on_disconnect(self, client, data, flags, reason, props):
        self.closed = reason

    def until(self, holds, what):
        """Serves the connection until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise Failure(f"no {what} within {PATIENCE:.0f} s")
            result = self.paho.loop(timeout=0.5)
            if result != mqtt.MQTT_ERR_SUCCESS and not holds():
                raise Failure(f"no {what}: the connection ended ({mqtt.error_string(result)}, {self.closed})")

    def subscribe(self, topic, qos=0, **options):
        result, mid = self.paho.subscribe(topic, qos, **options) if not isinstance(topic, list) else \
            self.paho.subscribe(topic, **options)
        expect(result == mqtt.MQTT_ERR_SUCCESS, f"SUBSCRIBE: {mqtt.error_string(result)}")
        self.until(lambda: mid in self._answers, "SUBACK")
        return [reason.value for reason in self._answers.pop(mid)]

    def unsubscribe(self, topic):
        _, mid = self.paho.unsubscribe(topic)
        self.until(lambda: mid in self._answers, "UNSUBACK")

    def publish(self, topic, payload, qos=0, wait=True, **options):
        info = self.paho.publish(topic, payload, qos, **options)
        if wait:
            self.until(lambda: info.mid in self._done, f"end of QoS {qos} publish")
        return info.mid

    def published(self, mids):
        self.until(lambda: self._done.issuperset(mids), "acknowledgements")

    def message(self):
        self.until(lambda: self.messages, "message")
        return self.messages.pop(0)

    def take(self, count):
        self.until(lambda: len(self.messages) >= count, f"{count} messages")
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def leave(self, **options):
        """DISCONNECT; then the broker closes or this side does."""
        self.paho.disconnect(**options)
        while self.paho.loop(timeout=0.5) == mqtt.MQTT_ERR_SUCCESS:
            pass
        self.cut()

    def cut(self):
        """Closes the socket without a word."""
        if self.paho.socket() is not None:
            self.paho.socket().close()

    def until_closed(self):
        deadline = time.monotonic() + PATIENCE
        while self.closed is None:
            expect(time.monotonic() < deadline, "the broker does not close the connection")
            self.paho.loop(timeout=0.5)
        return self.closed
