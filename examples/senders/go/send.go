// Sends one request to Sluice. Requires github.com/aws/aws-sdk-go-v2 with its config and service/sqs.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

type request struct {
	EndpointName string
	Body         any
	InferenceId  string
	TraceId      string
}

func main() {
	unique := make([]byte, 16)
	if _, err := rand.Read(unique); err != nil {
		log.Fatal(err)
	}
	message := request{
		EndpointName: "wine",
		Body: map[string]any{"instances": [][]float64{
			{13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0},
		}},
		InferenceId: "order-" + hex.EncodeToString(unique), // a unique ID: if it is sent twice, it is processed once
		TraceId:     "checkout-42",
	}
	body, err := json.Marshal(message)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	_, err = sqs.NewFromConfig(settings).SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:    aws.String(os.Getenv("REQUEST_QUEUE_URL")),
		MessageBody: aws.String(string(body)),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("messages/%s.out\n", message.InferenceId) // the result's key in the results bucket
}
