"""The command line: `retrograd train`, `retrograd lesson` and `retrograd bench`."""
