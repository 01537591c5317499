"""What a fitted estimator looks like: plots, one table of numbers, and pages that stand alone."""
