"""The engine: tensors, the tape, the record of an operation and the families of operations, levels, random numbers, printing."""
