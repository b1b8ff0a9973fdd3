"""Forms filled by a program, for examples, tests and benchmarks; no command reads with this."""
