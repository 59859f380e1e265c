// Sends one request to Sluice. Requires software.amazon.awssdk:sqs, and Java 17.
import java.util.UUID;
import software.amazon.awssdk.services.sqs.SqsClient;

public class Send {
    public static void main(String[] args) {
        // A unique ID for this request: if it is sent twice, it is processed once.
        String inferenceId = "order-" + UUID.randomUUID();
        String request = """
            {
              "EndpointName": "wine",
              "Body": {"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]},
              "InferenceId": "%s",
              "TraceId": "checkout-42"
            }""".formatted(inferenceId);

        try (SqsClient sqs = SqsClient.create()) {
            sqs.sendMessage(message -> message.queueUrl(System.getenv("REQUEST_QUEUE_URL")).messageBody(request));
        }
        System.out.println("messages/" + inferenceId + ".out"); // the result's key in the results bucket
    }
}
