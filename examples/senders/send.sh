#!/bin/sh
# Sends one request to Sluice, and waits for its result. Requires the AWS CLI.
set -eu

# A unique ID for this request: if it is sent twice, it is processed once.
inference_id="order-$(date +%s)-$$"

aws sqs send-message --queue-url "$REQUEST_QUEUE_URL" --output text --query MessageId --message-body '{
  "EndpointName": "wine",
  "Body": {"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]},
  "InferenceId": "'"$inference_id"'",
  "TraceId": "checkout-42"
}'

stored="s3://$RESULTS_BUCKET/messages/$inference_id"
for _ in $(seq 150); do
  if aws s3 cp "$stored.out" - 2>/dev/null; then exit 0; fi
  if aws s3 cp "$stored.err" - 2>/dev/null; then exit 1; fi
  sleep 1
done
echo "no result for $inference_id yet" >&2
exit 1
