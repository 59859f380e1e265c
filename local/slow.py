"""`make slow`: transforms prompts on the local run, for a container of some seconds a call and one prompt a call.

Prints how long the file took against the least that its calls take, and how many calls were under way at once.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rich.console import Console

from local.engine import Engine, running

_ROOT = Path(__file__).parents[1]
_KEY = "transform/chat/prompts.jsonl"
_CONCURRENT = 20
_MOST_SECONDS = 1800.0


def main() -> int:
    """Transform prompts, and print the figures. Returns 1 if a line has not its own answer."""
    parser = argparse.ArgumentParser(prog="make slow", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--least", type=float, default=2.0, metavar="SECONDS", help="of a call")
    parser.add_argument("--most", type=float, default=10.0, metavar="SECONDS", help="of a call")
    parser.add_argument("--function-seconds", type=int, help="the functions' timeout; default: derived")
    given = parser.parse_args()
    prompts = [json.dumps({"prompt": f"What is {number} times {number}?"}) for number in range(given.prompts)]
    settings: dict[str, object] = {"concurrent_requests": _CONCURRENT}
    if given.function_seconds:
        settings["timeouts"] = {"function_seconds": given.function_seconds}
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    chat = Chat(given.least, given.most)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(chat.serving())
        with console.status("Starting the local run…"):
            engine = stack.enter_context(running(_ROOT / ".local" / "slow", settings, {"chat": url}))
        seconds, answers = _transform(engine, prompts)
    ideal = sum(map(chat.seconds, prompts)) / _CONCURRENT
    console.print(
        f"{len(prompts)} prompts in {seconds:.1f} s, with {chat.made} calls, {chat.most_at_once} at once: "
        f"{seconds / ideal:.2f} of the {ideal:.1f} s that {_CONCURRENT} calls at once take."
    )
    wrong = [json.loads(line) for line in answers] != [json.loads(chat.answer(prompt)) for prompt in prompts]
    if wrong:
        console.print("[red]Not expected:[/red] a line has another answer than its own.")
    return int(wrong)


class Chat:
    """A container that answers one prompt a call, in `least` to `most` seconds. It refuses several."""

    def __init__(self, least: float, most: float) -> None:
        self.made = 0
        self.most_at_once = 0
        self._least = least
        self._most = most
        self._under_way = 0
        self._lock = threading.Lock()

    def seconds(self, prompt: str) -> float:
        """How long a prompt takes."""
        fraction = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") / 2**32
        return self._least + (self._most - self._least) * fraction

    def answer(self, prompt: str) -> str:
        """The answer to a prompt. Raises `ValueError` for what is not one."""
        return json.dumps({"answer": json.loads(prompt)["prompt"][::-1]})

    def respond(self, body: str) -> tuple[int, str]:
        """The response to a request: the status and the body."""
        with self._lock:
            self.made += 1
        try:
            answer = self.answer(body)
        except ValueError as error:
            return 400, str(error)
        with self._lock:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        time.sleep(self.seconds(body.strip()))
        with self._lock:
            self._under_way -= 1
        return 200, answer

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve it on 127.0.0.1. Yields its URL."""
        chat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(200, "")

            def do_POST(self) -> None:
                self._send(*chat.respond(self.rfile.read(int(self.headers["Content-Length"])).decode()))

            def _send(self, status: int, body: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - as it is inherited
                del format

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def _transform(engine: Engine, prompts: list[str]) -> tuple[float, list[str]]:
    """Drop the prompts, and wait for their answers. Returns the seconds, and the lines of the result."""
    s3 = engine.clients.s3
    began = time.monotonic()
    s3.put_object(Bucket=engine.input_bucket, Key=_KEY, Body=("\n".join(prompts) + "\n").encode())
    while time.monotonic() - began < _MOST_SECONDS:
        listed = s3.list_objects_v2(Bucket=engine.results_bucket, Prefix=f"{_KEY}.")
        names = {one["Key"] for one in listed.get("Contents", [])}
        if f"{_KEY}.out" in names:
            seconds = time.monotonic() - began
            body = s3.get_object(Bucket=engine.results_bucket, Key=f"{_KEY}.out")["Body"].read()
            return seconds, body.decode().splitlines()
        if f"{_KEY}.err" in names:
            body = s3.get_object(Bucket=engine.results_bucket, Key=f"{_KEY}.err")["Body"].read()
            raise RuntimeError(f"the file failed: {body.decode()}")
        time.sleep(0.1)
    raise RuntimeError(f"{_KEY}: not done after {_MOST_SECONDS:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
