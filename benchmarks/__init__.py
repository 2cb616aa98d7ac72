"""What the package costs, beside what it replaces: ``python -m benchmarks --help``."""
