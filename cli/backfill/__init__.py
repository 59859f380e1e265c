"""`sluice backfill`: enqueues what lies in a bucket already."""
