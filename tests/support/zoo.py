"""The containers that most endpoints run, with the formats of their documentation, and some odd ones."""

import json

from sluice.ports import Inference
from tests.support.containers import (
    CSV,
    JSON,
    JSON_LINES,
    Container,
    as_json,
    as_lines,
    auto_gluon,
    batch,
    chat,
    classes,
    csv_record,
    csv_rows,
    document,
    embeddings,
    entities,
    features,
    first_only,
    forecast,
    hugging_face_entities,
    json_lines,
    linear_learner,
    score,
    triton,
    two_outputs,
)

_DOCS = "https://docs.aws.amazon.com/sagemaker/latest/dg/"

ZOO = [
    # serving.py of sagemaker-xgboost-container: ",".join(map(str, preds.tolist())), text/csv
    Container(
        "XGBoost, regression",
        CSV,
        csv_record,
        lambda body: Inference(",".join(str(score(row)) for row in csv_rows(body)).encode(), "text/csv"),
        "CSVRow",
        "https://github.com/aws/sagemaker-xgboost-container",
    ),
    Container(
        "XGBoost, classes",
        CSV,
        csv_record,
        lambda body: Inference(",".join(str(classes(row)) for row in csv_rows(body)).encode(), "text/csv"),
        "CSVRow",
        "https://github.com/aws/sagemaker-xgboost-container",
    ),
    # The encoders of sagemaker-inference: an array as JSON, or as lines of CSV.
    Container(
        "scikit-learn, JSON",
        CSV,
        csv_record,
        lambda body: as_json([score(row) for row in csv_rows(body)]),
        "JSONArray",
        "https://sagemaker.readthedocs.io/en/stable/frameworks/sklearn/using_sklearn.html",
    ),
    Container(
        "scikit-learn, CSV",
        CSV,
        csv_record,
        lambda body: as_lines([",".join(map(str, classes(row))) for row in csv_rows(body)]),
        "Lines",
        "https://sagemaker.readthedocs.io/en/stable/frameworks/sklearn/using_sklearn.html",
    ),
    Container(
        "scikit-learn, JSON lines",
        JSON_LINES,
        features,
        lambda body: as_lines([json.dumps({"score": score(row)}) for row in batch(body)], JSON_LINES),
        "Lines",
        "https://sagemaker.readthedocs.io/en/stable/frameworks/sklearn/using_sklearn.html",
    ),
    # TensorFlow Serving's REST API answers {"predictions": […]}, indented.
    Container(
        "TensorFlow Serving",
        CSV,
        csv_record,
        lambda body: as_json({"predictions": [classes(row) for row in csv_rows(body)]}, indent=4),
        "JSONField:predictions",
        "https://www.tensorflow.org/tfx/serving/api_rest#predict_api",
    ),
    # A handler that returns a list with one element for each record of the request's only input.
    Container(
        "TorchServe, batch list",
        JSON_LINES,
        features,
        lambda body: as_json([{"score": score(row)} for row in batch(body)], indent=2),
        "JSONArray",
        "https://pytorch.org/serve/custom_service.html",
    ),
    Container(
        "TorchServe, single",
        JSON_LINES,
        features,
        lambda body: as_json({"score": score(json.loads(body)["features"])}),
        "None",
        "https://pytorch.org/serve/custom_service.html",
    ),
    Container(
        "Triton, JSON",
        JSON,
        document(lambda n: {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [n, 0.5]}]}),
        triton,
        "None",
        "https://github.com/kserve/kserve/blob/master/docs/predict-api/v2/required_api.md",
    ),
    Container(
        "Hugging Face, one document",
        JSON,
        document(lambda n: {"inputs": "x" * n}),
        lambda body: as_json([{"label": "POSITIVE", "score": 0.5, "length": len(json.loads(body)["inputs"])}]),
        "None",
        "https://github.com/aws/sagemaker-huggingface-inference-toolkit",
    ),
    Container(
        "Hugging Face, named entities",
        JSON,
        document(lambda n: {"inputs": "x" * n}),
        hugging_face_entities,
        "None",
        "https://github.com/aws/sagemaker-huggingface-inference-toolkit",
    ),
    Container(
        "named entities of lines",
        "text/plain",
        lambda number: "x" * (number + 1),
        lambda body: as_json([entities(len(line)) for line in body.decode().split("\n") if line]),
        "JSONArray",
        "https://huggingface.co/docs/transformers/main_classes/pipelines",
    ),
    Container(
        "named entities of lines, unpacked when alone",
        "text/plain",
        lambda number: "x" * (number + 1),
        lambda body: as_json(
            found[0]
            if len(found := [entities(len(line)) for line in body.decode().split("\n") if line]) == 1
            else found
        ),
        "None",
        "https://huggingface.co/docs/transformers/main_classes/pipelines",
    ),
    # The pyfunc scoring server wraps what predict returns; dataframe_split is one document. Its CSV has a header in
    # each request: test_transform_csv sends it with csv-header repeat.
    Container(
        "MLflow, dataframe_split",
        JSON,
        document(lambda n: {"dataframe_split": {"columns": ["a", "b"], "data": [[n, 0.5]]}}),
        lambda body: as_json({"predictions": [score(row) for row in json.loads(body)["dataframe_split"]["data"]]}),
        "None",
        "https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/",
    ),
    Container(
        "vLLM, chat",
        JSON,
        document(lambda n: {"messages": [{"role": "user", "content": f"prompt {n}"}]}),
        chat,
        "None",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    Container(
        "OpenAI, embeddings",
        JSON,
        document(lambda n: {"input": "x" * n}),
        embeddings,
        "None",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
    ),
    # A transform_fn that writes its data frame with to_csv, which has a header.
    Container(
        "AutoGluon, probabilities with a header",
        CSV,
        csv_record,
        auto_gluon,
        "LinesWithHeader",
        "https://auto.gluon.ai/stable/tutorials/cloud_fit_deploy/cloud-aws-sagemaker-train-deploy.html",
    ),
    Container("linear learner", CSV, csv_record, linear_learner, "JSONField:predictions", f"{_DOCS}LL-in-formats.html"),
    Container(
        "DeepAR",
        JSON_LINES,
        document(lambda n: {"start": "2009-11-01 00:00:00", "target": [n, 10.0]}),
        lambda body: as_lines([json.dumps(forecast(one)) for one in json_lines(body)], JSON_LINES),
        "Lines",
        f"{_DOCS}deepar-in-formats.html",
    ),
]

HERE = "a behaviour of containers of one's own"

ODD = [
    Container(
        "predictions as MLflow writes them, of rows without a header",
        CSV,
        csv_record,
        lambda body: as_json({"predictions": [score(row) for row in csv_rows(body)]}),
        "JSONField:predictions",
        HERE,
    ),
    Container("first record only", CSV, csv_record, first_only, "None", HERE),
    Container(
        "first record only, one value",
        CSV,
        csv_record,
        lambda body: as_json([score(csv_rows(body)[0])]),
        "None",
        HERE,
    ),
    Container("two outputs", CSV, csv_record, two_outputs, "None", HERE),
    Container(
        "parallel columns",
        CSV,
        csv_record,
        lambda body: as_json(
            {
                "labels": ["high" if score(row) > 1 else "low" for row in csv_rows(body)],
                "scores": [score(row) for row in csv_rows(body)],
                "classes": ["high", "low"],
                "model": "sums",
            }
        ),
        "Columns:labels,scores",
        HERE,
    ),
    Container(
        "facts beside the answers",
        CSV,
        csv_record,
        lambda body: as_json({"model": "sums", "predictions": [{"score": score(row)} for row in csv_rows(body)]}),
        "JSONField:predictions",
        HERE,
    ),
    Container(
        "JSON lines called application/json",
        CSV,
        csv_record,
        lambda body: as_lines([json.dumps({"score": score(row)}) for row in csv_rows(body)], JSON),
        "Lines",
        HERE,
    ),
    Container(
        "an empty line at the end",
        CSV,
        csv_record,
        lambda body: as_lines([str(score(row)) for row in csv_rows(body)], end="\n\n"),
        "Lines",
        HERE,
    ),
    Container(
        "numbers that a batch rounds",
        CSV,
        csv_record,
        lambda body: as_lines([f"{score(row):.{5 if len(csv_rows(body)) == 1 else 6}f}" for row in csv_rows(body)]),
        "Lines",
        HERE,
    ),
]
