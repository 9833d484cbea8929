"""Lightning training: the Trainer's set-up, checkpoints, distributed stop, optimisers."""
