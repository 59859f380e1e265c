"""`make demo`: real inputs and every kind of mistake through the local run, each outcome checked and shown."""
