"""Samples of products of matrices and vectors."""

from tests.sampling import B, Error, I, Sample, T

V, W, A, C, D = T(3), T(2), T(2, 3), T(3, 2), T(2, 2)
BATCH, OTHER = T(2, 2, 3), T(2, 3, 2)

SAMPLES = {
    "matmul": [Sample(A, C), Sample(A, V), Sample(W, A), Sample(V, V), Sample(BATCH, C), Sample(BATCH, V), Sample(V, OTHER), Sample(T(2, 1, 2, 3), OTHER),
               Sample(A, OTHER), Sample(I(2, 3), I(3, 2)), Sample(T(0, 3), C), Sample(T(2, 0), T(0, 3)), Sample(BATCH, OTHER)],
    ".__matmul__": [Sample(A, C)],
    "mm": [Sample(A, C), Sample(I(2, 3), I(3, 2)), Sample(T(0, 3), C)],
    "bmm": [Sample(BATCH, OTHER), Sample(T(0, 2, 3), T(0, 3, 2))],
    "mv": [Sample(A, V), Sample(T(0, 3), V)],
    "dot": [Sample(V, V), Sample(T(0), T(0)), Sample(I(3), I(3))],
    "vdot": [Sample(V, V)],
    "inner": [Sample(V, V), Sample(A, V), Sample(A, T(4, 3)), Sample(T(), A), Sample(BATCH, V)],
    "outer": [Sample(W, V), Sample(T(0), V), Sample(W, I(2))],
    "ger": [Sample(W, V)],
    "addmm": [Sample(D, A, C), Sample(W, A, C, beta=0.5, alpha=2), Sample(T(), A, C), Sample(T(2, 1), A, C, beta=0), Sample(I(2, 2), I(2, 3), I(3, 2))],
    ".addmm_": [Sample(D, A, C)],
    "addmv": [Sample(W, A, V), Sample(T(), A, V, beta=0.5, alpha=-1)],
    "addbmm": [Sample(D, BATCH, OTHER), Sample(W, BATCH, OTHER, beta=2, alpha=0.5)],
    "baddbmm": [Sample(T(2, 2, 2), BATCH, OTHER), Sample(W, BATCH, OTHER, beta=2, alpha=0.5)],
    "addr": [Sample(A, W, V), Sample(V, W, V, beta=2, alpha=0.5), Sample(A, W, V, beta=0)],
    "einsum": [Sample("ij,jk->ik", A, C), Sample("ij,jk", A, C), Sample("bij,bjk->bik", BATCH, OTHER), Sample("ii", D), Sample("ii->i", D), Sample("ij->ji", A), Sample("ij->", A),
               Sample("i,j->ij", W, V), Sample("...ij,jk->...ik", BATCH, C), Sample("i,i,i->i", V, V, V), Sample("ij,ij->ij", A, A), Sample("...i,i", A, V), Sample("bn,anm,bm->ba", T(2, 3), T(2, 3, 2), T(2, 2)),
               Sample("iij->j", T(2, 2, 3)), Sample("a,b,c,d->abcd", W, W, W, W), Sample("ij,kj->i", A, T(1, 3))],
    "tensordot": [Sample(A, C, 1), Sample(BATCH, OTHER, dims=([1, 2], [2, 1])), Sample(W, V, 0), Sample(T(2, 3, 2), T(3, 2, 2)), Sample(A, A, ([0, 1], [0, 1]))],
    "kron": [Sample(A, D), Sample(V, W), Sample(T(), A), Sample(A, T(2, 1, 2))],
    "linalg.multi_dot": [Sample([A, C]), Sample([V, C, D, W]), Sample([A, C, T(2, 4), T(4, 1)])],
    "cross": [Sample(V, V, dim=0), Sample(A, A, dim=1), Sample(T(3, 2), T(3, 2), 0)],
    "linalg.cross": [Sample(V, V), Sample(A, T(1, 3)), Sample(T(3, 2), T(3, 2), dim=0)],
    "trace": [Sample(A), Sample(C), Sample(D), Sample(T(0, 0)), Sample(I(2, 2))],
    "nn.functional.linear": [Sample(T(3, 4), T(2, 4), T(3, 2)), Sample(T(3, 4), T(2, 4), T()), Sample(A, T(4, 3), T(4)), Sample(A, T(4, 3)), Sample(V, T(4, 3), T(4)), Sample(V, T(4, 3)), Sample(BATCH, T(4, 3), T(4)), Sample(BATCH, T(4, 3)),
                             Sample(A, V), Sample(T(0, 3), T(4, 3), T(4)), Sample(V, V)],
    "nn.functional.bilinear": [Sample(A, T(2, 2), T(4, 3, 2), T(4)), Sample(V, W, T(4, 3, 2))],
}  # fmt: skip

ERRORS = {
    "matmul": [Error(A, A, raises=RuntimeError, match="mat1 and mat2 shapes cannot be multiplied \\(2x3 and 2x3\\)"), Error(T(), A, raises=RuntimeError, match="at least 1D"),
               Error(A, I(3, 2), raises=RuntimeError, match="same dtype"), Error(BATCH, T(2, 2, 2), raises=RuntimeError, match="first two dimensions of batch2"), Error(A, 1, raises=TypeError, match="must be Tensor")],
    "mm": [Error(A, A, raises=RuntimeError, match="cannot be multiplied"), Error(V, A, raises=RuntimeError, match="matrix"), Error(B(2, 3), B(3, 2), raises=RuntimeError, match="not implemented for 'Bool'")],
    "bmm": [Error(A, OTHER, raises=RuntimeError, match="batch1 must be a 3D tensor"), Error(BATCH, BATCH, raises=RuntimeError, match="first two dimensions of batch2")],
    "mv": [Error(A, W, raises=RuntimeError, match="size mismatch"), Error(A, A, raises=RuntimeError, match="vector \\+ matrix @ vector")],
    "dot": [Error(V, W, raises=RuntimeError, match="inconsistent tensor size"), Error(A, V, raises=RuntimeError, match="1D tensors expected"), Error(V, I(3), raises=RuntimeError, match="same dtype")],
    "inner": [Error(A, T(2, 2), raises=RuntimeError, match="last dimension must match")],
    "outer": [Error(A, V, raises=RuntimeError, match="1-D")],
    "addmm": [Error(T(3, 3), A, C, raises=RuntimeError, match="expanded size"), Error(D, A, A, raises=RuntimeError, match="cannot be multiplied")],
    "addr": [Error(A, V, V, raises=RuntimeError, match="expanded size")],
    "einsum": [Error("ij,jk->ik", A, raises=RuntimeError, match="fewer operands"), Error("ij->ijk", A, raises=RuntimeError, match="does not appear"), Error("i1", A, raises=RuntimeError, match="invalid subscript"),
               Error("ij,jk", A, A, raises=RuntimeError, match="subscript j has size"), Error("i", A, raises=RuntimeError, match="number of subscripts"), Error("ij->ii", A, raises=RuntimeError, match="more than once"), Error("ij", raises=ValueError, match="at least one operand")],
    "tensordot": [Error(A, A, 1, raises=RuntimeError, match="contracted dimensions"), Error(A, A, ([0], [0, 1]), raises=RuntimeError, match="same length")],
    "linalg.multi_dot": [Error([A], raises=RuntimeError, match="at least 2"), Error([A, A], raises=RuntimeError, match="cannot be multiplied")],
    "cross": [Error(W, W, dim=0, raises=RuntimeError, match="length 3")],
    "trace": [Error(V, raises=RuntimeError, match="expected a matrix")],
    "nn.functional.linear": [Error(T(16, 10), T(256, 784), T(256), raises=RuntimeError, match="mat1 and mat2 shapes cannot be multiplied \\(16x10 and 784x256\\)"),
                             Error(A, T(4, 3), T(3), raises=RuntimeError, match="expanded size"), Error(A, I(4, 3), raises=RuntimeError, match="same dtype")],
}  # fmt: skip
