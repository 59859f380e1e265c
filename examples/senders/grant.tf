# Allows a role to send requests to Sluice, drop files, and read results.

variable "sender_role_name" {
  type = string
}

variable "kms_key_arn" {
  description = "The customer managed key of the queue and the buckets; null for AWS managed keys."
  type        = string
  default     = null
}

data "aws_cloudformation_stack" "sluice" {
  name = "Sluice"
}

data "aws_sqs_queue" "requests" {
  name = reverse(split("/", data.aws_cloudformation_stack.sluice.outputs["RequestQueueUrl"]))[0]
}

locals {
  input_bucket   = "arn:aws:s3:::${data.aws_cloudformation_stack.sluice.outputs["InputBucketName"]}"
  results_bucket = "arn:aws:s3:::${data.aws_cloudformation_stack.sluice.outputs["ResultsBucketName"]}"
}

data "aws_iam_policy_document" "sender" {
  statement {
    sid       = "SendRequests"
    actions   = ["sqs:SendMessage"]
    resources = [data.aws_sqs_queue.requests.arn]
  }

  statement {
    sid       = "DropFiles"
    actions   = ["s3:PutObject"]
    resources = ["${local.input_bucket}/invoke/*", "${local.input_bucket}/transform/*"]
  }

  statement {
    sid       = "ReadResults"
    actions   = ["s3:GetObject"]
    resources = ["${local.results_bucket}/*"]
  }

  # Without it, S3 returns 403 instead of 404 for a result that does not exist yet.
  statement {
    sid       = "CheckForResults"
    actions   = ["s3:ListBucket"]
    resources = [local.results_bucket]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "UseTheKey"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "sender" {
  name   = "send-to-sluice"
  role   = var.sender_role_name
  policy = data.aws_iam_policy_document.sender.json
}
