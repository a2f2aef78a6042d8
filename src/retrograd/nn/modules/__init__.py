"""The layers, by what they do; `retrograd.nn` gathers them."""
