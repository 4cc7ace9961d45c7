"""What is measured, how, and against whom; results are committed beside the code that makes them."""
