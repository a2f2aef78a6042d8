"""Every operation, by theme: what it computes and the rules of its derivatives, beside each other."""
