"""A scripted MCP server on stdio: handshake or stateless, with a tool for each thing that may happen."""
import json, os, sys, time

ERA = sys.argv[1]  # handshake | stateless | mute | dies
cancelled, answers, levels, watched = [], {}, [], []
waiting = {}  # our request id -> (their id, how many answers are still to come)
listens = []
asked = 0

def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()

def result(id, value):
    if ERA == "stateless":
        value = {"resultType": "complete", **value}
    send({"jsonrpc": "2.0", "id": id, "result": value})

def error(id, code, message):
    send({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})

def note(method, params):
    send({"jsonrpc": "2.0", "method": method, "params": params})

def text(id, value):
    result(id, {"content": [{"type": "text", "text": json.dumps(value)}]})

def ask(id, count, method="elicitation/create", params=None):
    global asked
    group = {"id": id, "left": count, "got": []}
    for _ in range(count):
        asked += 1
        name = "s%d" % asked
        waiting[name] = group
        params = params or {"message": "name?", "requestedSchema": {"type": "object"},
                            "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "x"}, "mine": 1, "progressToken": 4}}
        send({"jsonrpc": "2.0", "id": name, "method": method, "params": params})

def call(id, params):
    name, args = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "echo": text(id, {"arguments": args, "params": params, "pid": os.getpid()})
    elif name == "state": text(id, {"cancelled": cancelled, "answers": answers, "levels": levels, "watched": watched,
                                     "pid": os.getpid()})
    elif name == "hang": pass
    elif name == "crash": os._exit(3)
    elif name == "ask": ask(id, args.get("count", 1), args.get("method", "elicitation/create"), args.get("params"))
    elif name == "progress":
        for step in range(3): note("notifications/progress", {"progressToken": token, "progress": step})
        text(id, "done")
    elif name == "log":
        for level in ["debug", "info", "warning", "error"]: note("notifications/message", {"level": level, "data": level})
        text(id, "done")
    elif name == "garbage":
        sys.stdout.write('not json\n{"jsonrpc":"2.0","id":1,"id":2,"result":{}}\n[]\n\n'); sys.stdout.flush()
        text(id, "done")
    elif name == "foreign":
        text(999999, "foreign"); text("x", "foreign"); text(id, "mine")
    elif name == "long":
        sys.stdout.write("x" * args["bytes"] + "\n"); sys.stdout.flush()
        time.sleep(600)
    elif name == "flood":
        for step in range(args["count"]): note("notifications/progress", {"progressToken": token, "progress": step})
        text(id, "done")
    elif name == "deaf": time.sleep(600)
    elif name == "stderr": sys.stderr.write("oops \x1b[31m\n"); sys.stderr.flush(); text(id, "done")
    elif name == "late": text(id, "done"); send({"jsonrpc": "2.0", "id": "l", "method": "roots/list", "params": {}})
    elif name == "unask": send({"jsonrpc": "2.0", "id": "p", "method": args["method"], "params": {}}); text(id, "asked")
    elif name == "changed":
        for listen in listens or [None]:
            meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": listen}} if listen is not None else {}
            note("notifications/tools/list_changed", meta)
            note("notifications/resources/updated", {"uri": "test://a", **meta})
            note("notifications/resources/updated", {"uri": "test://b", **meta})
        text(id, "done")
    elif name == "stop-listening":
        for listen in listens: result(listen, {})
        listens.clear(); text(id, "done")
    else: error(id, -32602, "unknown tool")

def handle(message):
    method, id, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        answers[str(id)] = message.get("result", message.get("error"))
        group = waiting.pop(id, None)
        if group:
            group["left"] -= 1
            group["got"].append(answers[str(id)])
            if group["left"] == 0: text(group["id"], group["got"])
    elif method == "notifications/cancelled": cancelled.append(params["requestId"])
    elif method.startswith("notifications/"): pass
    elif method == "tools/call": call(id, params)
    elif ERA == "stateless" and method == "server/discover":
        result(id, {"supportedVersions": ["2025-11-25", "2026-07-28"], "capabilities": {"tools": {"listChanged": True}},
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "peer", "version": "1"}}, "instructions": "hi",
                    "ttlMs": 1000, "cacheScope": "public"})
    elif ERA == "stateless" and method == "subscriptions/listen":
        listens.append(id)
        wanted = {k: v for k, v in params["notifications"].items() if k != "promptsListChanged"}
        note("notifications/subscriptions/acknowledged",
             {"notifications": wanted, "_meta": {"io.modelcontextprotocol/subscriptionId": id}})
    elif ERA != "stateless" and method == "initialize":
        result(id, {"protocolVersion": "2025-11-25", "serverInfo": {"name": "peer", "version": "1"}, "instructions": "hi",
                    "capabilities": {"tools": {"listChanged": True}, "logging": {}, "resources": {"subscribe": True}}})
    elif method == "logging/setLevel": levels.append(params["level"]); result(id, {})
    elif method == "resources/subscribe": watched.append(params["uri"]); result(id, {})
    elif method == "resources/unsubscribe": watched.remove(params["uri"]); result(id, {})
    else: error(id, -32601, "method not found")

if ERA == "dies": sys.exit(7)
while True:
    line = sys.stdin.readline()
    if not line: break
    if ERA == "mute" and '"server/discover"' in line: continue
    if ERA == "fragile" and '"server/discover"' in line: sys.exit(1)
    handle(json.loads(line))
if ERA == "stubborn": time.sleep(600)
