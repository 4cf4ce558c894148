"""Every operation of the API as its description says: schemathesis over `/api/v4/openapi.json` of a running broker."""

import os
import subprocess
import sys
import tempfile

import requests

from rig import PATIENCE, arguments, end

# Streams have no end, a new password ends the run, and guesses at one are limited.
LEFT_OUT = r"stream$|^/trace/|^/admin/password$|^/auth$"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
# What random names never hit.
NAMES = """
[parameters]
"path.node" = "{node}"
"path.module" = "presence"
"query.topic" = "sport/tennis"
"""


def run(broker, title, settings, phases):
    user, password = broker.user
    print(f"rest_schema: {title}", flush=True)
    retained = {"topic": "sport/tennis", "payload": "15:0", "retain": True}
    requests.post(f"{broker.admin}/api/v4/mqtt/publish", json=retained, auth=broker.user, timeout=PATIENCE)
    with tempfile.TemporaryDirectory(prefix="rollcall-rest-") as folder:
        with open(os.path.join(folder, "schemathesis.toml"), "w", encoding="utf-8") as file:
            file.write(settings)
        program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
        return subprocess.run(
            [
                program, "run", f"{broker.admin}/api/v4/openapi.json", "--auth", f"{user}:{password}", "--seed", "43",
                "--phases", phases, "--checks", CHECKS, "--exclude-path-regex", LEFT_OUT, "--max-examples", "10",
                "--generation-database", "none", "--request-timeout", "30", "--warnings", "off", "--no-color",
            ],
            cwd=folder, check=False).returncode


def main():
    broker = arguments()
    outcomes = [
        run(broker, "with any names", "", "examples,coverage,fuzzing"),
        run(broker, "with names that are there", NAMES.format(node=broker.node), "examples,coverage"),
    ]
    end(max(outcomes))


main()
