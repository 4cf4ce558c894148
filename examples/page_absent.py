"""Pages somebody when a client is missed, and resolves that when it is back.

It takes an absence rule ([[modules.presence.absence]]). What is sent has the form of PagerDuty's Events API v2; the address
may be any that takes it. The broker itself calls no webhooks.

The session is kept and a message acknowledged when the page was taken, so none is lost; one that is sent twice has the same
`dedup_key`, by which it is one incident.
"""

import argparse
import json
import sys
import time
import urllib.request

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ABSENT = "$SYS/brokers/+/presence/absent/#"
BEGINS = {"absent": "trigger", "silent": "trigger", "back": "resolve", "heard": "resolve"}


def page(told, node, key):
    client_id = told["clientid"]
    action = BEGINS[told["state"]]
    # Absent and silent are two incidents: a client can be the one after the other.
    kind = "absent" if told["state"] in ("absent", "back") else "silent"
    body = {"routing_key": key, "event_action": action, "dedup_key": f"{node}/{told['name']}/{client_id}/{kind}"}
    if action == "trigger":
        summary = f"{client_id} is {told['state']} by the rule {told['name']}"
        body["payload"] = {"summary": summary, "source": node, "severity": "error", "custom_details": told}
    return body


def send(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except OSError as error:
            print(f"not sent, and tried again: {error}", file=sys.stderr)
            time.sleep(5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="https://events.pagerduty.com/v2/enqueue")
    parser.add_argument("--key", required=True, help="the routing key")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--user", nargs=2, metavar=("NAME", "PASSWORD"))
    parser.add_argument("--id", default="page-absent")
    given = parser.parse_args()

    def on_connect(client, _data, _flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"not let in: {reason}")
        client.subscribe(ABSENT, 1)

    def on_message(client, _data, message):
        send(given.url, page(json.loads(message.payload), message.topic.split("/")[2], given.key))
        client.ack(message.mid, message.qos)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=given.id, protocol=mqtt.MQTTv5, manual_ack=True)
    client.on_connect, client.on_message = on_connect, on_message
    if given.user:
        client.username_pw_set(*given.user)
    kept = Properties(PacketTypes.CONNECT)
    kept.SessionExpiryInterval = 24 * 3600
    client.connect(given.host, given.port, clean_start=False, properties=kept)
    client.loop_forever()


if __name__ == "__main__":
    main()
