"""A Consul that keeps the contract of the few endpoints that templates ask: blocking queries, indexes, tokens, 404s."""

import base64
import http.server
import json
import threading
import time
import urllib.parse


class Consul:
    def __init__(self, token="consul-token"):
        self.token = token
        self.kv, self.services, self.nodes = {}, [], {}
        self.index, self.seen = 10, []
        self.changed = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def put(self, change):
        """Changes something, and wakes those who wait."""
        with self.changed:
            change(self)
            self.index += 1
            self.changed.notify_all()

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        self.seen.append(handler.path)
        if handler.headers.get("X-Consul-Token") != self.token:
            return self.send(handler, 403, b"Permission denied")
        end = time.monotonic() + min(float(query.get("wait", "0s").rstrip("s") or 0), 60)
        with self.changed:
            while self.index <= int(query.get("index", 0)) and time.monotonic() < end:
                self.changed.wait(end - time.monotonic())
            status, body = self.look(url.path.removeprefix("/v1/"), query)
        self.send(handler, status, json.dumps(body).encode() if status == 200 else b"")

    def send(self, handler, status, body):
        handler.send_response(status)
        handler.send_header("X-Consul-Index", str(self.index))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def pair(self, key):
        value = base64.b64encode(self.kv[key].encode()).decode()
        return {"Key": key, "Value": value, "Flags": 0, "LockIndex": 0, "CreateIndex": 1, "ModifyIndex": 2}

    def look(self, path, query):
        first, _, rest = path.partition("/")
        rest = urllib.parse.unquote(rest)
        if first == "kv":
            keys = [key for key in sorted(self.kv) if key.startswith(rest)] if "recurse" in query else [
                key for key in self.kv if key == rest]
            return (200, [self.pair(key) for key in keys]) if keys else (404, None)
        if path == "catalog/services":
            tags = {}
            for service in self.services:
                tags.setdefault(service["Service"]["Service"], set()).update(service["Service"]["Tags"])
            return 200, {name: sorted(of) for name, of in tags.items()}
        if path.startswith("health/service/"):
            name = path.rsplit("/", 1)[1]
            found = [one for one in self.services if one["Service"]["Service"] == name]
            if "tag" in query:
                found = [one for one in found if query["tag"] in one["Service"]["Tags"]]
            if "passing" in query:
                found = [one for one in found if all(check["Status"] == "passing" for check in one["Checks"])]
            return 200, found
        if path == "catalog/nodes":
            return 200, list(self.nodes.values())
        if path.startswith("catalog/node/"):
            node = self.nodes.get(path.rsplit("/", 1)[1])
            services = {one["Service"]["ID"]: one["Service"] for one in self.services if node and one["Node"]["Node"] == node["Node"]}
            return 200, {"Node": node, "Services": services} if node else None
        if path == "agent/self":
            return 200, {"Config": {"NodeName": next(iter(self.nodes))}}
        if path == "catalog/datacenters":
            return 200, ["dc1"]
        return 404, None

    def instance(self, node, name, number, tags, status="passing"):
        self.nodes.setdefault(node, {
            "ID": f"id-{node}", "Node": node, "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {}, "TaggedAddresses": {}})
        self.services.append({
            "Node": self.nodes[node],
            "Service": {"ID": f"{name}-{number}", "Service": name, "Tags": tags, "Address": "", "Port": 8000 + number,
                        "Meta": {"version": str(number)}, "Weights": {"Passing": 1, "Warning": 1}},
            "Checks": [{"CheckID": f"service:{name}-{number}", "Status": status}],
        })
