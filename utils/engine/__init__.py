"""What a training run is made of beside its step: updates, validation, files, the way on."""
