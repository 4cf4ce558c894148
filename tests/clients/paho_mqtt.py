"""paho-mqtt: the protocol as a library speaks it, all three versions."""

from paho.mqtt.subscribeoptions import SubscribeOptions

from rig import arguments, equal, expect, run_checks
from rig.paho_client import Client, properties

VERSIONS = ("31", "311", "5")


def every_qos_makes_the_round(broker):
    for version in VERSIONS:
        client = Client(broker, "round", version=version)
        equal(client.subscribe("round/#", 2), [2], "granted")
        for qos in (0, 1, 2):
            client.publish(f"round/{qos}", b"\x00\xff" * qos, qos)
            message = client.message()
            equal((message.topic, message.payload, message.qos, message.retain),
                  (f"round/{qos}", b"\x00\xff" * qos, qos, False), f"version {version} QoS {qos}")
        client.unsubscribe("round/#")
        client.publish("round/1", "unheard", 1)
        client.subscribe("end")
        client.publish("end", "x")
        equal(client.message().topic, "end", "after unsubscribing")
        client.leave()


def sessions_resume_with_their_queue(broker):
    for version in VERSIONS:
        name = f"resume-{version}"
        first = Client(broker, name, version=version, clean=False, expiry=300)
        expect(not first.session_present, "session present at the first connect")
        first.subscribe([("kept/1", 1), ("kept/2", 2), ("kept/0", 0)])
        first.leave()
        publisher = Client(broker, version=version)
        wanted = []
        for number in range(200):
            qos = 1 + number % 2
            wanted.append((f"kept/{qos}", f"{number}".encode()))
            publisher.publish(*wanted[-1], qos=qos)
        second = Client(broker, name, version=version, clean=False, expiry=300)
        equal(second.session_present, version != "31", "session present")
        got = [(message.topic, message.payload) for message in second.take(len(wanted))]
        for topic in ("kept/1", "kept/2"):
            equal([item for item in got if item[0] == topic], [item for item in wanted if item[0] == topic], topic)
        publisher.publish("kept/1", "live", 1)
        equal(second.message().payload, b"live", "the subscription lives on")
        second.leave()
        third = Client(broker, name, version=version, clean=True)
        expect(not third.session_present, "session present after a clean start")
        third.leave()
        publisher.leave()


def what_was_not_acknowledged_comes_again(broker):
    for version in ("311", "5"):
        publisher = Client(broker, "again-publisher", version=version)
        first = Client(broker, "again", version=version, clean=False, expiry=300)
        first.paho.manual_ack_set(True)
        first.subscribe("again", 1)
        for number in range(10):
            publisher.publish("again", f"{number}", 1)
        equal([message.payload for message in first.take(10)], [b"%d" % number for number in range(10)], "first time")
        first.cut()
        second = Client(broker, "again", version=version, clean=False, expiry=300)
        repeated = second.take(10)
        equal([message.payload for message in repeated], [b"%d" % number for number in range(10)], "second time")
        expect(all(message.dup for message in repeated), "DUP is not set")
        second.leave()
        Client(broker, "again", version=version).leave()
        publisher.leave()


def a_receive_maximum_holds_messages_back(broker):
    client = Client(broker, "narrow", version="5", more={"ReceiveMaximum": 3})
    client.paho.manual_ack_set(True)
    client.subscribe("narrow", 1)
    publisher = Client(broker, version="5")
    for number in range(10):
        publisher.publish("narrow", f"{number}", 1)
    # A QoS 0 message is not held back, so it comes right after the three.
    publisher.publish("narrow", "zero", 0)
    equal([message.payload for message in client.take(4)], [b"0", b"1", b"2", b"zero"], "unacknowledged")
    client.leave()
    publisher.leave()


def properties_pass_in_their_order(broker):
    client = Client(broker, version="5")
    client.subscribe("props", options=SubscribeOptions(qos=1),
                     properties=properties("SUBSCRIBE", SubscriptionIdentifier=268435455))
    pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", ""), ("ü", "😀")]
    client.publish("props", "x", 1, properties=properties(
        "PUBLISH", PayloadFormatIndicator=1, MessageExpiryInterval=1000, ContentType="text/plain",
        ResponseTopic="back/here", CorrelationData=b"\x00\x01\xff", UserProperty=pairs))
    got = client.message().properties
    equal((got.PayloadFormatIndicator, got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty,
           got.SubscriptionIdentifier),
          (1, "text/plain", "back/here", b"\x00\x01\xff", pairs, [268435455]), "properties")
    expect(900 < got.MessageExpiryInterval <= 1000, f"message expiry {got.MessageExpiryInterval}")
    client.leave()


def subscription_options_are_kept(broker):
    client = Client(broker, version="5")
    other = Client(broker, version="5")
    other.publish("options/kept", "kept", 1, retain=True)
    client.subscribe("options/kept", options=SubscribeOptions(qos=1, retainAsPublished=True))
    equal(client.message().payload, b"kept", "retained")
    client.subscribe("options/kept", options=SubscribeOptions(qos=1, retainHandling=1))
    client.subscribe("options/kept", options=SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True,
                                                              retainHandling=2))
    client.publish("options/kept", "mine", 1)
    other.publish("options/kept", "theirs", 1, retain=True)
    message = client.message()
    equal((message.payload, message.retain), (b"theirs", True), "retain as published, no local")
    other.publish("options/kept", "", 1, retain=True)
    client.leave()
    other.leave()


def delayed_wills_wait_for_the_session(broker):
    watcher = Client(broker, version="5")
    watcher.subscribe("late/#", 1)
    for comes_back in (True, False):
        will = {"topic": "late/will", "payload": "gone", "qos": 1,
                "properties": properties("WILLMESSAGE", WillDelayInterval=1)}
        mortal = Client(broker, "mortal", version="5", clean=False, expiry=300, will=will)
        mortal.cut()
        if comes_back:
            # A resumed session cancels the will; a second one without will says when nothing more can come.
            back = Client(broker, "mortal", version="5", clean=False, expiry=0)
            expect(back.session_present, "the session is gone")
            back.publish("late/back", "x", 1)
            equal(watcher.message().topic, "late/back", "a cancelled will")
            back.leave()
        else:
            equal(watcher.message().topic, "late/will", "the will")
    watcher.leave()


def shared_subscriptions_take_turns(broker):
    for version in VERSIONS:
        members = [Client(broker, version=version) for _ in range(4)]
        for member in members:
            member.subscribe("$share/crew/job/+", 1)
        publisher = Client(broker, version=version)
        wanted = [b"%d" % number for number in range(200)]
        for payload in wanted:
            publisher.publish("job/x", payload, 1)
        got = []
        while len(got) < len(wanted):
            for member in members:
                member.paho.loop(timeout=0.001)
                got += [message.payload for message in member.messages]
                member.messages.clear()
        equal(sorted(got, key=int), wanted, "all copies")
        for client in (*members, publisher):
            client.leave()


def large_payloads_and_bursts_pass(broker):
    for version in VERSIONS:
        client = Client(broker, version=version, max_inflight=50)
        client.subscribe("bulk/#", 2)
        large = bytes(range(256)) * 800
        for qos in (0, 1, 2):
            client.publish("bulk/large", large, qos)
            expect(client.message().payload == large, f"200 KB at QoS {qos} are damaged")
            mids = [client.publish("bulk/burst", b"%d" % number, qos, wait=False) for number in range(1000)]
            equal([int(message.payload) for message in client.take(1000)], list(range(1000)), f"burst at QoS {qos}")
            client.published(mids)
        client.leave()


def an_unknown_method_is_refused(broker):
    client = Client(broker, version="5", connect=False, more={"AuthenticationMethod": "none-such"})
    client.until(lambda: client.answer is not None, "CONNACK")
    equal(client.reason.value, 0x8C, "reason code")
    client.cut()


if __name__ == "__main__":
    run_checks(__file__, arguments(), [
        every_qos_makes_the_round,
        sessions_resume_with_their_queue,
        what_was_not_acknowledged_comes_again,
        a_receive_maximum_holds_messages_back,
        properties_pass_in_their_order,
        subscription_options_are_kept,
        delayed_wills_wait_for_the_session,
        shared_subscriptions_take_turns,
        large_payloads_and_bursts_pass,
        an_unknown_method_is_refused,
    ])
