"""A table of who is online, in SQLite.

State topics bring the state of every client that is known, then each change. So nothing has to be kept between two
connections: each one begins with the whole, and what this program missed meanwhile is in it.

Two rules make it right whatever comes late, twice or not at all:

- A state counts only if its `event` is not below the one that is known of this client. That number grows with each event of a
  broker, over restarts too.
- When `snapshot/done` has come, once for each filter of states, who was not in the snapshot is not known to the broker any
  more, and goes.
"""

import argparse
import json
import sqlite3
import sys

import paho.mqtt.client as mqtt

# The second of ids with a "/" in them; each further level takes a filter of its own.
STATES = ["$SYS/brokers/+/clients/+/state", "$SYS/brokers/+/clients/+/+/state"]
DONE = "$SYS/brokers/+/presence/snapshot/done"

TABLE = """
create table if not exists clients (
    node text, clientid text, state text, since integer, reason text, event integer, round integer,
    primary key (node, clientid)
)
"""
UPSERT = """
insert into clients values (:node, :clientid, :state, :since, :reason, :event, :round)
on conflict (node, clientid) do update set
    state = excluded.state, since = excluded.since, reason = excluded.reason, event = excluded.event,
    round = excluded.round
where excluded.event >= clients.event
"""
FORGET = "delete from clients where node = :node and round < :round and event <= :event"


class Table:
    def __init__(self, path):
        self.database = sqlite3.connect(path, check_same_thread=False)
        self.database.execute(TABLE)
        (self.round,) = self.database.execute("select coalesce(max(round), 0) from clients").fetchone()

    def begin(self):
        self.round += 1
        self.awaited = len(STATES)

    def take(self, node, state):
        row = {key: state[key] for key in ("clientid", "state", "since", "reason", "event")}
        with self.database:
            self.database.execute(UPSERT, {**row, "node": node, "round": self.round})

    def is_whole(self, node, done):
        """One filter's snapshot has ended: was it the last?"""
        self.awaited -= 1
        if self.awaited == 0:
            with self.database:
                self.database.execute(FORGET, {"node": node, "event": done["event"], "round": self.round})
        return self.awaited == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--user", nargs=2, metavar=("NAME", "PASSWORD"))
    parser.add_argument("--once", action="store_true", help="end when the table is whole")
    given = parser.parse_args()
    table = Table(given.database)

    def on_connect(client, _data, _flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"not let in: {reason}")
        table.begin()
        client.subscribe([(topic, 1) for topic in [*STATES, DONE]])

    def on_subscribe(_client, _data, _mid, reasons, _properties):
        if any(reason.is_failure for reason in reasons):
            sys.exit(f"may not subscribe below $SYS: {[str(reason) for reason in reasons]}")

    def on_message(client, _data, message):
        node = message.topic.split("/")[2]
        if message.topic.endswith("/presence/snapshot/done"):
            if table.is_whole(node, json.loads(message.payload)) and given.once:
                client.disconnect()
        else:
            table.take(node, json.loads(message.payload))

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    if given.user:
        client.username_pw_set(*given.user)
    client.connect(given.host, given.port)
    client.loop_forever()


if __name__ == "__main__":
    main()
