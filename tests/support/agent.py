"""
An agent that tells on haymaker: whoever runs twice at once, or is lost, shows in the ledger.

It holds an exclusive lock for as long as it lives; finding it taken means that two of it are alive, which it writes
into `violations`. `starts` gets a line a start. What it does next is its first argument.
"""

import fcntl
import os
import signal
import sys
import time

ledger, who = os.environ["LEDGER"], os.environ["WHO"]
lock = os.open(f"{ledger}/{who}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def note(file: str) -> None:
    fd = os.open(f"{ledger}/{file}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.write(fd, f"{who} {os.environ['HAYMAKER_RUN_ID']} {os.getpid()}\n".encode())
    os.close(fd)


try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("violations")
    sys.exit(9)
note("starts")
what = sys.argv[1] if len(sys.argv) > 1 else "stay"
if what == "stay":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()
elif what == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("deaf")
    while True:
        signal.pause()
elif what in ("step", "loop"):  # tell of step after step, or of the same one again and again
    while True:
        with open("events.jsonl", "a") as events:
            events.write('{"type": "tool", "progress": %s}\n' % ("true" if what == "step" else "false"))
        time.sleep(0.05)
elif what == "report":
    with open("report.md", "w") as report:
        report.write("# all is well\n")
    note("reported")
elif what == "work":  # for as long as the file is not there
    until = f"{ledger}/{who}.go"
    while not os.path.exists(until):
        time.sleep(0.01)
    with open("report.md", "w") as report:
        report.write("# all is well\n")
elif what == "fail":
    print("an agent's own words")
    sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
elif what in ("squander", "settle"):  # tell of a hundred tokens more, again and again; who settles says that it ends
    import json

    for turn in range(1, 10**6):
        total = {"turns": turn, "input_tokens": 100 * turn, "output_tokens": 0}
        told = {"type": "usage", "model": "quill", "total": total, "ending": what == "settle"}
        with open("events.jsonl", "a") as events:
            events.write(json.dumps(told) + "\n")
        time.sleep(0.05)
elif what in ("spend", "bill"):  # half a dollar for each of its size; a bill stays within its budget, and ends
    import json

    with open("config.json") as config:
        size = json.load(config)["size"]
    cap = float(os.environ.get("HAYMAKER_BUDGET_MAX_COST_USD", "inf"))
    cost = 0.5 * size if what == "spend" else min(0.5 * size, cap)
    usage = {"input_tokens": 100 * size, "output_tokens": 10 * size, "cached_tokens": 0}
    told = {"type": "usage", "model": "quill", "total": {**usage, "cost_usd": cost, "turns": size}}
    with open("events.jsonl", "a") as events:
        events.write(json.dumps(told) + "\n")
    note(f"caps.{cap}")
    if what == "bill":
        code = 3 if 0.5 * size > cap else 0
        verdict = {
            "verdict": "budget spent" if code else "met",
            "reason": f"${cost:g} of ${cap:g} spent" if code else "",
        }
        with open("result.json", "w") as result:
            json.dump(
                {**verdict, "exit_code": code, "usage": usage, "cost_usd": cost, "turns": size, "model": "quill"},
                result,
            )
        sys.exit(code)
    note("spent")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()
elif what == "family":
    # A child in another session, a grandchild in another group whose environment is bare but for the run id.
    run_id = {"HAYMAKER_RUN_ID": os.environ["HAYMAKER_RUN_ID"]}
    stay = ["-I", "-S", "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"]
    for leave in (os.setsid, lambda: os.setpgid(0, 0)):
        if os.fork() == 0:
            leave()
            os.execve(sys.executable, [sys.executable, *stay], run_id)
    note("family")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        signal.pause()
