"""`make demo`: sends real inputs and every kind of mistake through the local run, and checks each outcome."""
