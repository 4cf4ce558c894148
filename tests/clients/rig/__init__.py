"""What the scripts of this folder share: arguments, named checks, Mosquitto's programs, presence events.

Every wait is for something to happen; PATIENCE only ends a wait for what never comes.
"""

import argparse
import atexit
import faulthandler
import os
import sys
import threading
import time
import traceback

PATIENCE = 15.0
OVERALL = 300.0

closers = []


class Failure(Exception):
    """A check did not hold."""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--admin", help="where the REST API is: http://HOST:PORT")
    parser.add_argument("--user", nargs=2, help="who may ask it, and the password")
    parser.add_argument("--node", default="rollcall@127.0.0.1")
    parser.add_argument("--only", help="run the checks whose name has this in it")
    _watchdog.daemon = True
    _watchdog.start()
    given = parser.parse_args()
    given.user = tuple(given.user or ())
    return given


def run_checks(script, broker, checks):
    """Runs every check, prints a line for each and ends the process."""
    name = os.path.basename(script).removesuffix(".py")
    failed = 0
    for check in checks:
        title = check.__name__.replace("_", " ")
        if broker.only and broker.only not in title:
            continue
        start = time.monotonic()
        try:
            closers.clear()
            check(broker)
        except Exception as error:  # every fault of a check is its failure, and the others still run
            failed += 1
            print(f"{name}: {title} ... FAILED: {error}", flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc()
            # What it left open would make events in the checks after it.
            for close in closers:
                close()
        else:
            print(f"{name}: {title} ... ok ({time.monotonic() - start:.2f} s)", flush=True)
    if failed:
        print(f"{name}: {failed} of {len(checks)} checks failed", flush=True)
    end(1 if failed else 0)


def end(code):
    """Ends the process and what it started, whatever threads a failed check left behind."""
    sys.stdout.flush()
    atexit._run_exitfuncs()
    os._exit(code)


def _too_long():
    print(f"not done after {OVERALL:.0f} s", flush=True)
    faulthandler.dump_traceback()
    end(3)


_watchdog = threading.Timer(OVERALL, _too_long)


def expect(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: got {shorten(got)}, wanted {shorten(wanted)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"
