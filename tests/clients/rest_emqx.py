"""The REST API as a script for EMQ X 4.3 uses it, with `requests`; what it does is seen by MQTT clients."""

import base64
import json
import re
import time
from urllib.parse import quote

import requests

from rig import PATIENCE, arguments, equal, expect, run_checks
from rig.events import Watcher
from rig.paho_client import Client

KEYS = """node clientid username mountpoint is_bridge zone proto_name proto_ver ip_address port clean_start keepalive
expiry_interval connected connected_at created_at subscriptions_cnt max_subscriptions inflight max_inflight mqueue_len
max_mqueue mqueue_dropped awaiting_rel max_awaiting_rel recv_oct recv_cnt recv_pkt recv_msg send_oct send_cnt send_pkt
send_msg mailbox_len heap_size reductions""".split()
LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
OK = {"code": 0}


class Rest:
    def __init__(self, broker):
        self.base = f"{broker.admin}/api/v4"
        self.session = requests.Session()
        self.session.auth = broker.user

    def answer(self, method, path, **options):
        return self.session.request(method, self.base + path, timeout=PATIENCE, **options)

    def __call__(self, method, path, **options):
        """The answer's JSON; EMQ X's status is 200, whatever is the matter."""
        answer = self.answer(method, path, **options)
        equal(answer.status_code, 200, f"status of {method} {path}")
        return answer.json()

    def data(self, path, **parameters):
        answer = self("GET", path, params=parameters)
        equal(answer["code"], 0, f"code of {path}")
        return answer["data"]


def until(holds, what):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        expect(time.monotonic() < deadline, f"{what} did not come")
        time.sleep(0.02)


def ids(rows):
    return [row["clientid"] for row in rows]


def clients_are_listed_page_by_page(broker):
    rest = Rest(broker)
    clients = [Client(broker, f"page-{number}", username=f"user-{number % 2}") for number in range(5)]
    seen = []
    for page in (1, 2, 3):
        answer = rest("GET", "/clients", params={"_page": page, "_limit": 2})
        equal(answer["meta"]["page"], page, "meta.page")
        equal(answer["meta"]["limit"], 2, "meta.limit")
        equal(answer["meta"]["count"], 5, "meta.count")
        equal(answer["meta"]["hasnext"], page < 3, f"meta.hasnext of page {page}")
        seen += ids(answer["data"])
    equal(sorted(seen), [f"page-{number}" for number in range(5)], "ids of all pages")
    equal(rest("GET", "/clients", params={"_like_clientid": "-3"})["meta"]["count"], -1, "count with a filter")
    equal(ids(rest.data("/clients", _like_clientid="-3")), ["page-3"], "ids with a part")
    equal(ids(rest.data("/clients/username/user-1")), ["page-1", "page-3"], "ids of a user")
    equal(ids(rest.data(f"/nodes/{broker.node}/clients", proto_ver=4, _limit=1)), ["page-0"], "ids of the node")
    equal(rest.data("/clients/page-9"), [], "a client that is not there")
    for client in clients:
        client.leave()


def a_client_has_all_keys(broker):
    rest = Rest(broker)
    client = Client(broker, "keys/+#ä", version="5", username="u", keep_alive=77, expiry=300)
    client.subscribe("a/b", 1)
    client.publish("nowhere", "x", 1)
    path = "/clients/" + quote("keys/+#ä", safe="")
    (row,) = rest.data(path)
    equal(sorted(row), sorted(KEYS), "keys of a client that is connected")
    wanted = {"node": broker.node, "clientid": "keys/+#ä", "username": "u", "mountpoint": "undefined", "is_bridge": False,
              "zone": "external", "proto_name": "MQTT", "proto_ver": 5, "ip_address": "127.0.0.1", "clean_start": True,
              "keepalive": 77, "expiry_interval": 300, "connected": True, "subscriptions_cnt": 1, "inflight": 0,
              "mqueue_len": 0}
    for key, value in wanted.items():
        equal(row[key], value, key)
    for key in ("connected_at", "created_at"):
        expect(LOCAL_TIME.fullmatch(row[key]), f"{key}: {row[key]}")
    equal(rest.data("/subscriptions/" + quote("keys/+#ä", safe="")),
          [{"node": broker.node, "clientid": "keys/+#ä", "topic": "a/b", "qos": 1}], "subscriptions")
    client.leave()
    until(lambda: not rest.data(path)[0]["connected"], "connected: false")
    (row,) = rest.data(path)
    equal(sorted(row), sorted({*KEYS, "disconnected_at"} - {"connected_at"}), "keys of a client that is away")
    equal(rest("DELETE", path), OK, "the session is ended")
    equal(rest.data(path), [], "after that")


def who_is_kicked_is_told_about(broker):
    rest = Rest(broker)
    watcher = Watcher(broker)
    client = Client(broker, "unwanted", clean=False)
    watcher.connected("unwanted")
    equal(rest("DELETE", "/clients/unwanted"), OK, "kick")
    watcher.disconnected("unwanted", "kicked")
    client.until_closed()
    equal(rest.data("/clients/unwanted"), [], "its session")
    equal(rest("DELETE", "/clients/unwanted"), {"code": 112, "message": "not_found"}, "kicked again")
    watcher.subscriber.end()


def what_is_published_over_rest_arrives(broker):
    rest = Rest(broker)
    client = Client(broker, "reader", version="5")
    client.subscribe("rest/#", 2)
    body = {"topic": "rest/1", "payload": "héllo", "qos": 1, "clientid": "script", "user_properties": {"k": "v"}}
    answer = rest("POST", "/mqtt/publish", json=body)
    equal(answer["code"], 0, "publish")
    message = client.message()
    equal((message.topic, message.payload, message.qos), ("rest/1", "héllo".encode(), 1), "the message")
    equal(message.properties.UserProperty, [("k", "v")], "its user properties")
    payload = base64.b64encode(b"\x00\xff").decode()
    body = {"topics": "rest/2,rest/3", "payload": payload, "encoding": "base64", "clientid": "script"}
    equal(rest("POST", "/mqtt/publish", json=body)["code"], 0, "publish to two topics")
    equal([(message.topic, message.payload) for message in client.take(2)],
          [("rest/2", b"\x00\xff"), ("rest/3", b"\x00\xff")], "the messages")
    batch = [{"topic": "rest/4", "payload": "x", "clientid": "s"}, {"topic": "rest/+", "payload": "x", "clientid": "s"}]
    equal([row["code"] for row in rest("POST", "/mqtt/publish_batch", json=batch)["data"]], [0, 115], "codes of a batch")
    equal(client.message().topic, "rest/4", "of the batch")
    client.leave()


def a_client_is_subscribed_over_rest(broker):
    rest = Rest(broker)
    client = Client(broker, "led")
    equal(rest("POST", "/mqtt/subscribe", json={"clientid": "led", "topic": "led/+", "qos": 1}), OK, "subscribe")
    equal([(row["topic"], row["qos"]) for row in rest.data("/subscriptions", clientid="led")], [("led/+", 1)], "its row")
    equal(rest.data("/routes/" + quote("led/+", safe="")), [{"topic": "led/+", "node": broker.node}], "its route")
    client.publish("led/x", "y")
    equal(client.message().topic, "led/x", "a message")
    equal(rest("POST", "/mqtt/unsubscribe", json={"clientid": "led", "topic": "led/+"}), OK, "unsubscribe")
    equal(rest.data("/subscriptions/led"), [], "its rows")
    client.leave()
    body = {"clientid": "nobody", "topic": "a", "qos": 0}
    equal(rest("POST", "/mqtt/subscribe", json=body)["code"], 112, "for nobody")


def who_is_banned_is_refused(broker):
    rest = Rest(broker)
    client = Client(broker, "banned")
    body = {"who": "banned", "as": "clientid", "reason": "test", "by": "script"}
    equal(rest("POST", "/banned", json=body), {"code": 0, "data": body}, "ban")
    client.until_closed()
    refused = Client(broker, "banned", version="5", connect=False)
    refused.until(lambda: refused.answer is not None, "CONNACK")
    equal(refused.reason.value, 0x8A, "CONNACK of who is banned")
    equal([row["who"] for row in rest.data("/banned")], ["banned"], "who is banned")
    equal(rest("DELETE", "/banned/clientid/banned"), OK, "let in again")
    Client(broker, "banned").leave()


def presence_is_unloaded_and_loaded(broker):
    rest = Rest(broker)
    watcher = Watcher(broker)
    for path in ("/modules/emqx_mod_presence", f"/nodes/{broker.node}/modules/emqx_mod_presence"):
        equal(rest("PUT", f"{path}/unload"), OK, "unload")
        equal(rest("PUT", f"{path}/unload"), {"message": "not_started"}, "unload again")
        (node,) = rest.data("/modules")
        (module,) = [module for module in node["modules"] if module["name"] == "emqx_mod_presence"]
        equal((node["node"], module["active"]), (broker.node, False), "in the list")
        Client(broker, "unseen").leave()
        # Its DISCONNECT is on its way for some time yet.
        while rest.data("/clients/unseen"):
            time.sleep(0.01)
        equal(rest("PUT", f"{path}/load"), OK, "load")
        equal(rest("PUT", f"{path}/load"), {"message": "already_started"}, "load again")
        # Events come in order: none of the one before can be under way.
        Client(broker, "seen").leave()
        watcher.connected("seen")
        watcher.disconnected("seen", "normal")
    equal(rest("PUT", "/modules/emqx_mod_none/load"), {"message": "not_found"}, "load what is not there")
    equal(rest("PUT", "/modules/emqx_mod_presence/reload"), OK, "reload")
    watcher.subscriber.end()


def what_is_wrong_is_answered_as_emqx_does(broker):
    rest = Rest(broker)
    answer = rest.answer("POST", "/mqtt/publish", data="{")
    equal((answer.status_code, answer.json()["code"]), (400, 109), "a body that is no JSON")
    for body, code in (({"topic": "a/#", "payload": "x", "clientid": "s"}, 115),
                       ({"topic": "a", "payload": "x", "clientid": "s", "qos": 3}, 116)):
        equal(rest("POST", "/mqtt/publish", json=body)["code"], code, f"code for {json.dumps(body)}")
    equal(rest("POST", "/banned", json={"who": "x"})["code"], 107, "a ban without its kind")
    equal(rest("POST", "/banned", json={"who": "x", "as": "y"})["code"], 108, "a ban of an unknown kind")
    equal(rest.answer("GET", "/no_such_path").status_code, 404, "an unknown path")
    equal(rest.answer("GET", "/clients", auth=("admin", "wrong")).status_code, 401, "a wrong password")
    equal(requests.get(f"{rest.base}/clients", timeout=PATIENCE).status_code, 401, "no password")
    user, password = broker.user
    for given, wanted in (((user, password), OK["code"]), ((user, ""), 104)):
        body = {"username": given[0], "password": given[1]}
        equal(rest("POST", "/auth", json=body)["code"], wanted, f"/auth with {body}")


def the_node_and_its_numbers_are_shown(broker):
    rest = Rest(broker)
    client = Client(broker, "counted")
    (node,) = rest.data("/nodes")
    equal((node["node"], node["node_status"], node["connections"]), (broker.node, "Running", 1), "the node")
    (stats,) = rest.data("/stats")
    equal(stats["stats"]["connections.count"], 1, "connections.count")
    (metrics,) = rest.data("/metrics")
    expect(metrics["metrics"]["client.connected"] >= 1, "client.connected")
    (version,) = [row["version"] for row in rest.data("/brokers")]
    equal(rest.data(f"/brokers/{broker.node}")["version"], version, "the broker's version")
    status = requests.get(f"{broker.admin}/status", timeout=PATIENCE)
    expect(status.text.startswith(f"Node {broker.node} is started\n"), f"/status: {status.text}")
    client.leave()


run_checks(__file__, arguments(), [
    clients_are_listed_page_by_page,
    a_client_has_all_keys,
    who_is_kicked_is_told_about,
    what_is_published_over_rest_arrives,
    a_client_is_subscribed_over_rest,
    who_is_banned_is_refused,
    presence_is_unloaded_and_loaded,
    what_is_wrong_is_answered_as_emqx_does,
    the_node_and_its_numbers_are_shown,
])
