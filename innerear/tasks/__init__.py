"""What a task says, and the parameters of its protocol. Neither needs a model to be read."""
