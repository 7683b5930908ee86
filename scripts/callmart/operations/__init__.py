"""What the scheduler and the operator use: the nightly run, and what stands waiting."""
