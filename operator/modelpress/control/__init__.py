"""The loop: observe → plan → apply. See docs/architecture.md."""
