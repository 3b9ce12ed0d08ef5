"""This is no Grafana. It stands in for one where its image cannot be pulled.

It checks what compose.yaml hands to Grafana, with the libraries' own parsers: the administrator's password can be read, the
provisioning files are YAML, the dashboards are JSON and name data sources that are provisioned. Then it answers what the
proof asks for: /api/health, and, for the administrator, queries that it passes on to a provisioned data source.
"""

import base64
import hmac
import http.server
import json
import os
import pathlib
import signal
import sys
import urllib.error
import urllib.request

import yaml

PROVISIONING = pathlib.Path("/etc/grafana/provisioning")
PROXY = "/api/datasources/proxy/uid/"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    password = pathlib.Path(os.environ["GF_SECURITY_ADMIN_PASSWORD__FILE"]).read_text().strip()
    if len(password) < 16:
        sys.exit("the administrator's password is too short")
    sources = {one["uid"]: one["url"] for one in provisioned("datasources", "datasources")}
    provisioned("alerting", "groups")
    dashboards = [
        json.loads(path.read_text())
        for provider in provisioned("dashboards", "providers")
        for path in pathlib.Path(provider["options"]["path"]).glob("*.json")
    ]
    if not dashboards:
        sys.exit("no dashboard is where the provisioning looks for them")
    probe = pathlib.Path("/var/lib/grafana/stand-in")
    probe.write_text("The volume can be written to.\n")
    print(f"stand-in for Grafana: {len(dashboards)} dashboards, data sources {sorted(sources)}", flush=True)
    serve(password, sources, len(dashboards))


def provisioned(folder, key):
    """The entries under `key` of all files in a folder of the provisioning."""
    files = sorted((PROVISIONING / folder).glob("*.yml")) + sorted((PROVISIONING / folder).glob("*.yaml"))
    entries = [entry for path in files for entry in yaml.safe_load(path.read_text()).get(key, [])]
    if not entries:
        sys.exit(f"{PROVISIONING / folder} provisions no {key}")
    return entries


def serve(password, sources, dashboards):
    expected = "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/api/health":
                return self.answer(200, {"database": "ok", "version": "stand-in", "dashboards": dashboards})
            if not hmac.compare_digest(self.headers.get("authorization", ""), expected):
                return self.answer(401, {"message": "Unauthorized"})
            uid, _, rest = self.path.removeprefix(PROXY).partition("/")
            if not self.path.startswith(PROXY) or uid not in sources:
                return self.answer(404, {"message": "Not found"})
            try:
                with urllib.request.urlopen(f"{sources[uid]}/{rest}", timeout=5) as response:
                    return self.answer(200, json.load(response))
            except (urllib.error.URLError, TimeoutError) as error:
                return self.answer(502, {"message": str(error)})

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer(("", 3000), Handler).serve_forever()


main()
