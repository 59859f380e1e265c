// Sends one request to Sluice. Requires @aws-sdk/client-sqs.
import { randomUUID } from "node:crypto";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const request = {
  EndpointName: "wine",
  Body: { instances: [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]] },
  InferenceId: `order-${randomUUID()}`, // a unique ID: if it is sent twice, it is processed once
  TraceId: "checkout-42",
};

const sqs = new SQSClient({});
await sqs.send(
  new SendMessageCommand({ QueueUrl: process.env.REQUEST_QUEUE_URL, MessageBody: JSON.stringify(request) }),
);
console.log(`messages/${request.InferenceId}.out`); // the result's key in the results bucket
