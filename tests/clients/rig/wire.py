"""The few packets that are written byte by byte, where no client library would misbehave as wanted."""

import socket
import struct

from . import PATIENCE, closers, expect


def text(value):
    raw = value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(first, body):
    length, left = b"", len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length += bytes([byte | (0x80 if left else 0)])
        if not left:
            return bytes([first]) + length + body


def connect(client_id, level=4, clean=True, keep_alive=0, expiry=None):
    body = text("MQIsdp" if level == 3 else "MQTT") + bytes([level, 2 if clean else 0]) + struct.pack(">H", keep_alive)
    if level == 5:
        properties = b"" if expiry is None else b"\x11" + struct.pack(">I", expiry)
        body += bytes([len(properties)]) + properties
    return packet(0x10, body + text(client_id))


DISCONNECT = b"\xe0\x00"


class Raw:
    """A connection with nothing of its own accord on it."""

    def __init__(self, broker, first=b""):
        self.socket = socket.create_connection((broker.host, broker.port), PATIENCE)
        closers.append(self.close)
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(first)

    def read_packet(self):
        head = self._read(2)
        length, shift, byte = head[1] & 0x7F, 7, head[1]
        while byte & 0x80:
            byte = self._read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
        return head[0], self._read(length)

    def accepted(self):
        first, body = self.read_packet()
        expect(first == 0x20 and body[1] == 0, f"CONNACK is {first:#x} {body!r}")
        return self

    def ended(self):
        """Waits until the other side has closed."""
        try:
            while self.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            expect(more, "the broker closed the connection")
            data += more
        return data
