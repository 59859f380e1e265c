"""Files under transform/ on the local run: with real rows and models, each line has its own result."""

import csv
import gzip
import io
import json
import random

from local.models.wine import Wine, held_out
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformPart
from tests.e2e.conftest import Pipeline


def wine_csv(count: int) -> list[str]:
    """Rows of wine data that the model was not trained on."""
    rows, _ = held_out()
    rng = random.Random(1)
    return [",".join(str(value) for value in rows[rng.randrange(len(rows))]) for _ in range(count)]


def test_a_dataset_with_poisoned_rows(pipeline: Pipeline) -> None:
    rows = wine_csv(3000)
    poisoned = sorted(random.Random(2).sample(range(3000), 5))
    for number in poisoned:
        rows[number] = f"poison,{number}"
    pipeline.drop("transform/wine/rows.csv", ("\n".join(rows) + "\n").encode(), Metadata={"accept": "text/csv"})
    out = pipeline.wait("transform/wine/rows.csv.out")
    good = "\n".join(row for row in rows if not row.startswith("poison")) + "\n"
    expected = iter(Wine().predict(good.encode(), "text/csv", "text/csv").body.decode().splitlines())
    assert out.body.decode().split("\n")[:-1] == ["" if row.startswith("poison") else next(expected) for row in rows]
    errors = [json.loads(line) for line in pipeline.wait("transform/wine/rows.csv.errors.jsonl").body.splitlines()]
    assert [error["Line"] for error in errors] == [number + 1 for number in poisoned]
    assert {error["OriginalStatusCode"] for error in errors} == {400}
    summary = json.loads(pipeline.wait("transform/wine/rows.csv.summary.json").body)
    assert (summary["records"], summary["failed"]) == (3000, 5)
    assert summary["calls"] < 3000 / 20


def test_json_lines_joined_with_their_ids(pipeline: Pipeline) -> None:
    lines = [
        json.dumps({"id": n, "features": [float(x) for x in row.split(",")]}) for n, row in enumerate(wine_csv(50))
    ]
    pipeline.drop(
        "transform/wine/rows.jsonl",
        "\n".join(lines).encode(),
        Metadata={"input-filter": "$.features", "join-source": "Input", "output-filter": "$['id','SageMakerOutput']"},
    )
    answers = [json.loads(line) for line in pipeline.wait("transform/wine/rows.jsonl.out").body.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(50))
    assert {answer["SageMakerOutput"]["label"] for answer in answers} <= {"class_0", "class_1", "class_2"}


def test_a_file_that_is_replaced_is_transformed_again(pipeline: Pipeline) -> None:
    rows = wine_csv(4)
    pipeline.drop("transform/wine/again.csv", ("\n".join(rows[:3])).encode(), Metadata={"accept": "text/csv"})
    pipeline.wait("transform/wine/again.csv.out", lambda result: result.body.count(b"\n") == 3)
    pipeline.drop("transform/wine/again.csv", ("\n".join(rows)).encode(), Metadata={"accept": "text/csv"})
    replaced = pipeline.wait("transform/wine/again.csv.out", lambda result: result.body.count(b"\n") == 4)
    assert len(list(csv.reader(io.StringIO(replaced.body.decode())))) == 4


def test_a_file_with_a_wrong_option_is_explained(pipeline: Pipeline) -> None:
    pipeline.drop("transform/wine/wrong.csv", b"1\n", Metadata={"batch-strategy": "Sometimes"})
    error = json.loads(pipeline.wait("transform/wine/wrong.csv.err").body)
    assert "batch-strategy" in error["ErrorMessage"]


def test_a_gzip(pipeline: Pipeline) -> None:
    rows = gzip.compress("\n".join(wine_csv(5)).encode())
    pipeline.drop("transform/wine/packed.csv.gz", rows, ContentType="text/csv", Metadata={"accept": "text/csv"})
    assert pipeline.wait("transform/wine/packed.csv.gz.out").body.count(b"\n") == 5


def test_an_empty_file(pipeline: Pipeline) -> None:
    pipeline.drop("transform/wine/empty.csv", b"")
    assert pipeline.wait("transform/wine/empty.csv.out").body == b""


def test_an_eventbridge_event_of_a_file_on_the_request_queue(pipeline: Pipeline) -> None:
    rows = wine_csv(3)
    key = "transform/wine/by-eventbridge.csv"
    pipeline.drop(key, "\n".join(rows).encode(), Metadata={"accept": "text/csv"})
    head = pipeline.s3.head_object(Bucket=pipeline.engine.input_bucket, Key=key)
    event = {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "bucket": {"name": pipeline.engine.input_bucket},
            "object": {
                "key": key,
                "size": head["ContentLength"],
                "etag": head["ETag"].strip('"'),
                "version-id": head["VersionId"],
            },
        },
    }
    pipeline.send(event)
    assert pipeline.wait(f"{key}.out").body.count(b"\n") == 3
    assert f"{key}.err" not in pipeline.stored()


def test_a_part_that_another_sent_is_refused(pipeline: Pipeline) -> None:
    """The sender here is the account's root user, who may send anything, but is not one of the functions."""
    key = "transform/wine/forged.csv"
    pipeline.drop(key, ("\n".join(wine_csv(3))).encode(), Metadata={"accept": "text/csv"})
    answered = pipeline.wait(f"{key}.out")
    head = pipeline.engine.clients.s3.head_object(Bucket=pipeline.engine.input_bucket, Key=key)
    file = DroppedObject(
        pipeline.engine.input_bucket, key, head["ContentLength"], "other", "F", head["ETag"].strip('"')
    )
    body = body_of(TransformPart(file, 0, head["ContentLength"]))
    pipeline.send(body)
    reason = pipeline.dead_letter(body)
    assert reason["ErrorCode"] == "InvalidMessage"
    assert "parts are sent by the functions alone" in reason["ErrorMessage"]
    assert pipeline.wait(f"{key}.out").body == answered.body
    assert f"{key}.err" not in pipeline.stored()
