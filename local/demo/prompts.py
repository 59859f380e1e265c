"""The demo's prompts: an OpenAI batch file for the sample model that speaks OpenAI's chat protocol."""

import json
import textwrap
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from local.demo.cases import EXAMPLES
from local.engine import Engine
from local.models.chat import NOTE, Chat

_KEY = "transform/chat/prompts.jsonl"
_SECONDS = 60.0
_WIDTH = 150  # characters of a line that the demo prints
# What the file has wrong: the errors of these lines, by their index.
_REFUSED = {3: "ModelError", 6: "InvalidRecord"}


def run_prompts(console: Console, engine: Engine, directory: Path) -> list[str]:
    """Drop the file, print each prompt and its answer, and return the differences from the expected ones."""
    content = (EXAMPLES / "chat/prompts.jsonl").read_bytes()
    engine.clients.s3.put_object(Bucket=engine.input_bucket, Key=_KEY, Body=content)
    started = time.monotonic()
    while (stored := _stored(engine)) is None:
        if time.monotonic() - started > _SECONDS:
            return [f"{_KEY}: not done after {_SECONDS:.0f} s"]
        time.sleep(0.1)
    copy = directory / "results" / f"{_KEY}.out"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(stored)
    requests = [json.loads(line) for line in content.splitlines()]
    answers = [json.loads(line) for line in stored.splitlines()]
    console.print(
        f"  drop   {_KEY}: an OpenAI batch file of {len(requests)} prompts, in {time.monotonic() - started:.1f} s. "
        f"{sum(one['error'] is None for one in answers)} answered, by a sample model that only quotes these docs:"
    )
    for request, answer in zip(requests, answers, strict=False):
        text = _content(answer).removesuffix(NOTE) or f"{answer['error']['code']}: {_reason(answer)}"
        line = f"         {answer['custom_id']}: {_prompt(request) or '(no messages)'} → {text}"
        console.print(escape(textwrap.shorten(line, _WIDTH, initial_indent=" " * 9, placeholder=" …")))
    return _differences(requests, answers)


def _stored(engine: Engine) -> bytes | None:
    s3 = engine.clients.s3
    if not s3.list_objects_v2(Bucket=engine.results_bucket, Prefix=f"{_KEY}.out").get("KeyCount"):
        return None
    return s3.get_object(Bucket=engine.results_bucket, Key=f"{_KEY}.out")["Body"].read()


def _differences(requests: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[str]:
    chat = Chat()
    expected = [
        (one["custom_id"], _REFUSED.get(index) or chat.answer(_prompt(one))) for index, one in enumerate(requests)
    ]
    found = [(one["custom_id"], one["error"]["code"] if one["error"] else _content(one)) for one in answers]
    return [] if found == expected else [f"{_KEY}: differs from what the model answers to each prompt alone"]


def _prompt(request: dict[str, Any]) -> str:
    return "".join(message["content"] for message in request["body"].get("messages", []))


def _content(answer: dict[str, Any]) -> str:
    """What the model has answered; an empty text if it has refused the prompt."""
    return "" if answer["error"] else str(answer["response"]["body"]["choices"][0]["message"]["content"])


def _reason(answer: dict[str, Any]) -> str:
    """Why a prompt was refused: what the model says, or else what the pipeline says."""
    stated = answer["response"]["body"]["error"] if answer["response"] else answer["error"]
    return str(stated["message"])
