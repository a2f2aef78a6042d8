"""Machine code for kernels, through LLVM. The only modules that import llvmlite; nothing imports them before the first compile."""
