"""A webhook that keeps what it is sent, a line each: python3 webhook.py PORT FILE"""

import http.server
import json
import sys

port, file = int(sys.argv[1]), sys.argv[2]


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
        with open(file, "a") as lines:
            lines.write(f"{text}\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", port), Webhook).serve_forever()
