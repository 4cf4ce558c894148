"""Online and offline notification as `mosquitto_sub -v -t '$SYS/brokers/+/clients/#'` sees it."""

from rig import arguments, equal, expect, run_checks
from rig.events import PROTOCOLS, Watcher
from rig.paho_client import Client
from rig.programs import Subscriber, publish, subscribe_and_leave
from rig.wire import DISCONNECT, Raw, connect

VERSIONS = ("31", "311", "5")


def clients_of_every_version_come_and_go(broker):
    for watching in VERSIONS:
        watcher = Watcher(broker, version=watching)
        for version in VERSIONS:
            name = f"goes-{version}"
            level, protocol = PROTOCOLS[version]
            publish(broker, "-i", name, "-k", "77", "-t", "x", "-m", "y", version=version)
            came = watcher.connected(name, username="undefined", proto_ver=level, proto_name=protocol, keepalive=77,
                                     expiry_interval=0, connack=0, clean_start=True)
            gone = watcher.disconnected(name, "normal", username="undefined", proto_ver=level, proto_name=protocol)
            expect(gone["disconnected_at"] >= came["connected_at"], "gone before it came")
        watcher.subscriber.end()


def user_names_and_odd_texts_stay_as_sent(broker):
    watcher = Watcher(broker)
    for username in ("foo", 'q"uo\\te', "名前", "😀"):
        Client(broker, "named", username=username, password="x").leave()
        watcher.connected("named", username=username)
        watcher.disconnected("named", "normal", username=username)
    for client_id in ("a/b/c", "plus+hash#", "ünï", 'quo"te'):
        publish(broker, "-i", client_id, "-t", "x", "-m", "y")
        watcher.connected(client_id)
        watcher.disconnected(client_id, "normal")
    watcher.subscriber.end()


def assigned_ids_are_told(broker):
    watcher = Watcher(broker)
    client = Client(broker, "", version="5")
    assigned = client.answer.AssignedClientIdentifier
    watcher.connected(assigned)
    client.leave()
    watcher.disconnected(assigned, "normal")
    watcher.subscriber.end()


def expiry_intervals_are_those_of_the_session(broker):
    watcher = Watcher(broker)
    for version, words, expiry in (("31", (), 7200), ("311", (), 7200), ("5", ("-x", "300"), 300),
                                   ("5", ("-x", "4294967295"), 4294967295)):
        subscribe_and_leave(broker, "-i", "expires", "-c", "-t", "x", *words, version=version)
        watcher.connected("expires", clean_start=False, expiry_interval=expiry)
        watcher.disconnected("expires", "normal")
    watcher.subscriber.end()


def closed_and_reset_sockets_are_told_apart(broker):
    watcher = Watcher(broker)
    killed = Subscriber(broker, "-i", "killed", "-t", "x")
    watcher.connected("killed")
    killed.end()
    watcher.disconnected("killed", "tcp_closed")
    for level in (3, 4, 5):
        raw = Raw(broker, connect("cut", level)).accepted()
        watcher.connected("cut", proto_ver=level, keepalive=0)
        raw.close()
        watcher.disconnected("cut", "tcp_closed", proto_ver=level)
        raw = Raw(broker, connect("cut", level)).accepted()
        watcher.connected("cut")
        raw.reset()
        watcher.disconnected("cut", "econnreset")
    watcher.subscriber.end()


def silence_ends_in_keepalive_timeout(broker):
    watcher = Watcher(broker)
    for version in VERSIONS:
        client = Client(broker, "silent", version=version, keep_alive=1)
        came = watcher.connected("silent", keepalive=1)
        gone = watcher.disconnected("silent", "keepalive_timeout")
        silence = gone["disconnected_at"] - came["connected_at"]
        expect(1400 <= silence, f"after {silence} ms only")
        client.cut()
    watcher.subscriber.end()


def a_second_client_takes_over(broker):
    watcher = Watcher(broker)
    for version in VERSIONS:
        for clean, reason in ((False, "takeovered"), (True, "discarded")):
            first = Client(broker, "twin", version=version, clean=False, expiry=100)
            watcher.connected("twin")
            second = Client(broker, "twin", version=version, clean=clean, expiry=100)
            gone = watcher.disconnected("twin", reason)
            came = watcher.connected("twin", clean_start=clean)
            expect(gone["disconnected_at"] <= came["connected_at"], "the old one went after the new one came")
            # MQTT 3.1 has no such flag.
            equal(second.session_present, not clean and version != "31", "session present")
            why = first.until_closed()
            if version == "5":
                equal(why.value, 0x8E, "reason code of the DISCONNECT")
            second.leave()
            watcher.disconnected("twin", "normal")
            Client(broker, "twin", version=version).leave()
            watcher.connected("twin")
            watcher.disconnected("twin", "normal")
    watcher.subscriber.end()


def a_disconnect_says_why(broker):
    from paho.mqtt.reasoncodes import ReasonCode
    from paho.mqtt.packettypes import PacketTypes

    watcher = Watcher(broker)
    will = {"topic": "wills/x", "payload": "gone"}
    for code, name in ((0x04, "disconnect_with_will_message"), (0x80, "unspecified_error"),
                       (0x82, "protocol_error")):
        client = Client(broker, "says-why", version="5", will=will)
        watcher.connected("says-why")
        client.leave(reasoncode=ReasonCode(PacketTypes.DISCONNECT, identifier=code))
        watcher.disconnected("says-why", name)
    watcher.subscriber.end()


def a_broken_packet_says_so(broker):
    watcher = Watcher(broker)
    for level in (3, 4, 5):
        # A PUBLISH with QoS 3, and a second CONNECT.
        for what, reason in ((b"\x36\x05\x00\x01a\x00\x01", "malformed_packet"), (connect("again", level), "protocol_error")):
            raw = Raw(broker, connect("broken", level)).accepted()
            watcher.connected("broken")
            raw.socket.sendall(what)
            raw.ended()
            watcher.disconnected("broken", reason)
            raw.close()
    watcher.subscriber.end()


def the_will_comes_before_the_event(broker):
    watcher = Watcher(broker)
    both = Subscriber(broker, "-i", "both", "-q", "1", "-t", "wills/#", "-t", "$SYS/brokers/+/clients/mortal/#", form="%t")
    watcher.connected("both")
    for _ in range(20):
        mortal = Client(broker, "mortal", will={"topic": "wills/mortal", "payload": "gone", "qos": 1})
        watcher.connected("mortal")
        mortal.cut()
        watcher.disconnected("mortal", "tcp_closed")
        order = [both.payload().rpartition("/")[2] for _ in range(3)]
        equal(order, ["connected", "mortal", "disconnected"], "order")
    both.end()
    watcher.subscriber.end()


def who_did_not_get_in_makes_no_event(broker):
    watcher = Watcher(broker)
    idle = Raw(broker)
    wrong = Raw(broker, connect("wrong", level=9))
    wrong.ended()
    broken = Raw(broker, b"\x10\x00")
    broken.ended()
    nameless = Raw(broker, connect("", level=4, clean=False))
    nameless.ended()
    for raw in (idle, wrong, broken, nameless):
        raw.close()
    publish(broker, "-i", "after", "-t", "x", "-m", "y")
    watcher.connected("after")
    watcher.disconnected("after", "normal")
    watcher.subscriber.end()


def the_event_comes_before_connack_and_after_the_last_word(broker):
    """A client that is in finds its own event; a client that left at once is still told of, twice."""
    watcher = Watcher(broker)
    for level in (3, 4, 5):
        for _ in range(100):
            raw = Raw(broker, connect("brief", level) + DISCONNECT)
            raw.ended()
            raw.close()
            watcher.connected("brief")
            watcher.disconnected("brief", "normal")
    watcher.subscriber.end()


def no_client_forges_events(broker):
    watcher = Watcher(broker)
    topic = f"$SYS/brokers/{broker.node}/clients/forged/connected"
    for version in VERSIONS:
        for qos in ("0", "1", "2"):
            publish(broker, "-i", "forger", "-q", qos, "-t", topic, "-m", "{}", version=version, fails=True)
            watcher.connected("forger")
            watcher._expect("disconnected", "forger", {})
    watcher.subscriber.end()


if __name__ == "__main__":
    run_checks(__file__, arguments(), [
        clients_of_every_version_come_and_go,
        user_names_and_odd_texts_stay_as_sent,
        assigned_ids_are_told,
        expiry_intervals_are_those_of_the_session,
        closed_and_reset_sockets_are_told_apart,
        silence_ends_in_keepalive_timeout,
        a_second_client_takes_over,
        a_disconnect_says_why,
        a_broken_packet_says_so,
        the_will_comes_before_the_event,
        who_did_not_get_in_makes_no_event,
        the_event_comes_before_connack_and_after_the_last_word,
        no_client_forges_events,
    ])
