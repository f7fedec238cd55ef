"""What joins products with a computation, one file a verb: open, compute, check, write."""
