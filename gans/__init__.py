"""The models: every generative adversarial network of the course, and what measures them."""
