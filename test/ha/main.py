"""The run itself: a cluster, an application, events, a comparison."""

import collections
import glob
import json
import os
import random
import sys
import time

from application import Application
from cluster import RUN, TTL, Cluster, read_settings, wait_until

TOKEN = "ha-test-token-0123456789-abcdef"
MINUTES = float(os.environ.get("HA_MINUTES", 30))
EVENTS = int(os.environ.get("HA_EVENTS", 40))
MODE = os.environ.get("HA_MODE", "sync")
AFTER = os.environ.get("HA_AFTER", "go_on")
SEED = int(os.environ.get("HA_SEED", time.time()))
CHOSEN = os.environ.get("HA_KINDS", "").split()
APPLICATIONS = 4

SETUP = """
CREATE EXTENSION domowf;
CREATE TABLE orders (n text PRIMARY KEY);
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('hold', 'model', '1.0.0', 'Start it')
"""

# What is neither sent nor a person's.
WAITING = "SELECT count(*) FROM domowf.queue WHERE state <> 'in_doubt'"

STATES = """SELECT request->'data'->>'n', state FROM domowf.queue
    UNION ALL SELECT request->'data'->>'n', outcome FROM domowf.log
    WHERE origin = 'request'"""


# ---- events: each comes to its end by itself

def switchover(cluster):
    """Planned."""
    cluster.switch_over()


def crash(cluster):
    """The leader's PostgreSQL is killed: Patroni restarts or replaces it."""
    cluster.leader().crash()


def death(cluster):
    """The leader's machine goes, and comes back when it was replaced."""
    node = cluster.leader()
    node.die()
    wait_until("there is another leader", lambda: cluster.leader() is not None)
    node.start()


def short_death(cluster):
    """The leader's machine is back before anybody has taken over."""
    node = cluster.leader()
    node.die()
    time.sleep(2)
    node.start()


def freeze(cluster):
    """The leader's machine stands still until it was replaced."""
    node = cluster.leader()
    node.freeze(True)
    try:
        wait_until("there is another leader",
                   lambda: cluster.leader() is not None)
    finally:
        node.freeze(False)


def short_freeze(cluster):
    """The leader's machine stands still, and nobody takes over."""
    node = cluster.leader()
    node.freeze(True)
    time.sleep(TTL / 4)
    node.freeze(False)


def replica_freeze(cluster):
    """Another machine does, whose answer a commit may wait for."""
    leader = cluster.leader()
    node = random.choice([node for node in cluster.nodes if node is not leader])
    node.freeze(True)
    time.sleep(TTL / 2)
    node.freeze(False)


def dead_etcd(cluster):
    """Nobody can know who leads."""
    cluster.etcd.kill()
    time.sleep(TTL + 5)
    cluster.etcd.start()


KINDS = (switchover, crash, death, short_death, freeze, short_freeze,
         replica_freeze, dead_etcd)


def choose_events():
    """Each kind as often as the others, but for one, in any order."""
    kinds = [kind for kind in KINDS if kind.__name__ in CHOSEN] or KINDS
    events = []
    while len(events) < EVENTS:
        events += random.sample(kinds, len(kinds))
    return events[:EVENTS]


# ---- the comparison

def read_record():
    """How often Domo carried out the start of each n."""
    last = {}
    with open(f"{RUN}/domo/record.jsonl") as file:
        for line in file:
            entry = json.loads(line)
            last[entry["seq"]] = entry
    return collections.Counter(
        entry["data"]["n"] for entry in last.values()
        if entry["operation"] == "start" and entry["executed"])


def compare(committed, states, executed):
    """The figures of a run, by name."""
    known = dict(states)
    missing = [n for n in committed if n not in known]
    return collections.OrderedDict([
        ("committed", len(committed)),
        ("done", sum(state == "done" for state in known.values())),
        ("in doubt", sum(state == "in_doubt" for state in known.values())),
        ("of these carried out", sum(
            state == "in_doubt" and n in executed
            for n, state in known.items())),
        ("other states", sum(
            state not in ("done", "in_doubt") for state in known.values())),
        ("done and not carried out", sum(
            state == "done" and n not in executed
            for n, state in known.items())),
        ("commits lost", len(missing)),
        ("of these carried out all the same",
         sum(n in executed for n in missing)),
        ("doubled", sum(count > 1 for count in executed.values())),
    ])


def count_in_logs(text):
    count = 0
    for path in glob.glob(f"{RUN}/node_*.log"):
        with open(path, errors="replace") as file:
            count += file.read().count(text)
    return count


def say(text):
    print(time.strftime("%H:%M:%S ") + text, flush=True)


def set_up(cluster):
    leader = cluster.leader()
    for statement in SETUP.strip().split(";\n"):
        cluster.run(leader, statement)


def play(cluster):
    """The events, evenly over the time, each when all is well again."""
    share = MINUTES * 60 / max(EVENTS, 1)
    begin = time.monotonic()
    for number, event in enumerate(choose_events()):
        time.sleep(max(0, begin + number * share - time.monotonic()))
        cluster.wait_healthy()
        say(f"{number + 1}/{EVENTS} {event.__name__}: {event.__doc__}")
        event(cluster)
    time.sleep(max(0, begin + MINUTES * 60 - time.monotonic()))
    cluster.wait_healthy()


def settle(cluster):
    """Waits until all that is to be sent was. Who paused lets it go on."""
    def is_settled():
        leader = cluster.leader()
        if leader is None:
            return False
        if AFTER == "pause":
            cluster.run(leader, "SELECT domowf_hold(), domowf_resume()")
        return cluster.run(leader, WAITING)[0][0] == 0

    wait_until("everything is settled", is_settled)
    return cluster.run(cluster.leader(), STATES)


def main():
    random.seed(SEED)
    token_file = f"{RUN}/token"
    with open(os.open(token_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(TOKEN + "\n")
    cluster = Cluster(MODE == "sync", {
        **read_settings(),
        "shared_preload_libraries": "domowf",
        "domowf.base_url": os.environ["DOMO_URL"],
        "domowf.token_file": token_file,
        "domowf.after_promotion": AFTER,
        "domowf.timeout": "10s",
    })
    say(f"seed {SEED}, {MODE}, after_promotion = {AFTER}")
    cluster.start()
    set_up(cluster)
    applications = [Application(f"{name}-", [node.port for node in cluster.nodes])
                    for name in range(APPLICATIONS)]
    for application in applications:
        application.start()
    play(cluster)
    for application in applications:
        application.ends.set()
    for application in applications:
        application.join(60)
    states = settle(cluster)
    committed = [n for application in applications
                 for n in application.committed]
    figures = compare(committed, states, read_record())
    figures["tried again by the application"] = sum(
        application.retries for application in applications)
    figures["timeline"] = cluster.run(
        cluster.leader(), "SELECT timeline FROM domowf.state")[0][0]
    figures["times that a server held what it found"] = count_in_logs(
        "domowf: this server took over")
    for name, value in figures.items():
        print(f"{value:>8} {name}")
    broken = [name for name in ("commits lost", "doubled",
                                "done and not carried out", "other states")
              if figures[name] > 0]
    if MODE == "sync" and broken:
        sys.exit("broken: " + ", ".join(broken))


main()
