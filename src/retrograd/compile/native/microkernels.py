"""The inside of a matrix product: blocks of results held in registers, and the rearranging of elements that feeds them.

Each function emits code for one block whose size is known. It knows pointers, strides and vectors, and nothing of how a whole
product is cut into blocks or what becomes of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from retrograd.compile.native.builder import VectorBuilder
from retrograd.compile.native.loops import I64, counting, index, loop

I32 = ir.IntType(32)
CHAINS = 8  # independent accumulators that keep the multipliers busy: latency x throughput of a fused multiply-add
WORTH_PREFETCHING = 8  # multiply-adds of vectors between the prefetches of two rows of results
Block = list[list[ir.Value]]  # of vectors of results, by row


def at(b: ir.IRBuilder, pointer: ir.Value, element: ir.Type, *terms: tuple[ir.Value, int]) -> ir.Value:
    """The address of an element: each term is an index and the stride that it counts, in elements."""
    offset = index(0)
    for position, stride in terms:
        if isinstance(position, ir.Constant):
            offset = b.add(offset, index(position.constant * stride)) if position.constant * stride else offset
        elif stride:
            product = position if stride == 1 else b.mul(position, index(stride), flags=("nsw",))
            offset = product if offset == index(0) else b.add(offset, product, flags=("nsw",))
    return b.gep(pointer, [offset], source_etype=element)


def shuffle(b: ir.IRBuilder, x: ir.Value, y: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """The lanes of the concatenation of `x` and `y` with the given numbers."""
    return b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def beginning(b: ir.IRBuilder, vector: ir.Value, lanes: int) -> ir.Value:
    """The first lanes of a vector; a single one as a scalar."""
    if not isinstance(vector.type, ir.VectorType) or vector.type.count == lanes:
        return vector
    return shuffle(b, vector, vector, range(lanes)) if lanes > 1 else b.extract_element(vector, ir.Constant(I32, 0))


def zeros(element: ir.Type, lanes: int) -> ir.Constant:
    """A vector of zeros; of one lane, a scalar."""
    return ir.Constant(element, 0.0) if lanes == 1 else ir.Constant(ir.VectorType(element, lanes), [0.0] * lanes)


def outer_block(
    k: VectorBuilder,
    element: ir.Type,
    a: ir.Value,
    a_strides: tuple[int, int],
    panel: ir.Value,
    panel_stride: int,
    depth: int,
    rows: int,
    columns: Sequence[tuple[VectorBuilder, int]],
    prefetch: Callable[[ir.Value], None],
) -> Block:
    """Sums of outer products: results [r, c] = sum over p of A[r, p] * panel[p, c], a vector of columns at a time.

    `a` and `panel` point at their first elements; `columns` gives, for each vector of columns, its builder and how many of its lanes are
    valid: the last may be shorter than the others.
    `prefetch` emits what asks for the memory of the results of a row: it is called for one row after the other, spread over the sums.
    """
    b, size = k.b, rows * len(columns)
    chains = max(1, min(-(-CHAINS // size), depth // 2))
    unroll = chains if chains > 1 else max(1, min(4, 16 // size, depth))

    def step(p: ir.Value, u: int, sums: list[ir.Value]) -> None:
        """Adds the outer product number p + u."""
        line = at(b, panel, element, (p, panel_stride), (index(u), panel_stride))
        vectors = [wide.load(at(b, line, element, (index(c * k.lanes), 1)), element, valid) for c, (wide, valid) in enumerate(columns)]
        for r in range(rows):
            cell = at(b, a, element, (index(r), a_strides[0]), (p, a_strides[1]), (index(u), a_strides[1]))
            scalar = k.splat(b.load(cell, typ=element))
            for c, vector in enumerate(vectors):
                chain = (u % chains) * size + r * len(columns) + c
                sums[chain] = k.fma(beginning(b, scalar, columns[c][0].lanes), vector, sums[chain])

    def body(p: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        out = list(sums)
        for u in range(unroll):
            step(p, u, out)
        return out

    def share(row: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        prefetch(row)
        start = b.mul(row, index(each))
        return loop(b, start, b.add(start, index(each)), unroll, sums, body)

    sums = [zeros(element, wide.lanes) for wide, _ in columns] * (rows * chains)
    each = depth // rows // unroll * unroll
    shared = each * rows if each * len(columns) >= WORTH_PREFETCHING else 0
    if shared:
        sums = loop(b, 0, rows, 1, sums, share)
    whole = depth // unroll * unroll
    sums = loop(b, shared, whole, unroll, sums, body)
    for u in range(depth - whole):
        step(index(whole), u, sums)
    for chain in range(1, chains):
        sums[:size] = [k.add(x, y) for x, y in zip(sums[:size], sums[chain * size : (chain + 1) * size], strict=True)]
    return [sums[r * len(columns) : (r + 1) * len(columns)] for r in range(rows)]


def dot_block(
    k: VectorBuilder, element: ir.Type, a: ir.Value, a_stride: int, w: ir.Value, w_stride: int, depth: int, rows: int, columns: int
) -> list[ir.Value]:
    """Dot products: results [r, c] = sum over p of A[r, p] * W[c, p], where both are contiguous along p.

    The result is a vector for each row, of the power of two of lanes that holds the columns.
    """
    b, size = k.b, rows * columns
    chains = max(1, min(-(-CHAINS // size), depth // k.lanes // 2))

    def step(p: ir.Value, u: int, sums: list[ir.Value], mask: int | None = None) -> None:
        """Adds the products of one vector of each row and column."""
        vectors = [k.load(at(b, a, element, (index(r), a_stride), (p, 1), (index(u * k.lanes), 1)), element, mask) for r in range(rows)]
        for c in range(columns):
            vector = k.load(at(b, w, element, (index(c), w_stride), (p, 1), (index(u * k.lanes), 1)), element, mask)
            for r in range(rows):
                chain = (u * rows + r) * columns + c
                sums[chain] = k.fma(vectors[r], vector, sums[chain])

    def body(p: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        out = list(sums)
        for u in range(chains):
            step(p, u, out)
        return out

    whole = depth // (k.lanes * chains) * k.lanes * chains
    sums = loop(b, 0, whole, k.lanes * chains, [zeros(element, k.lanes)] * (size * chains), body)
    for u, start in enumerate(range(whole, depth, k.lanes)):
        step(index(whole), u, sums, depth - start if depth - start < k.lanes else None)
    for chain in range(1, chains):
        sums[:size] = [k.add(x, y) for x, y in zip(sums[:size], sums[chain * size : (chain + 1) * size], strict=True)]
    return [totals(k, element, sums[r * columns : (r + 1) * columns]) for r in range(rows)]


def totals(k: VectorBuilder, element: ir.Type, vectors: Sequence[ir.Value]) -> ir.Value:
    """The sums over the lanes of each vector, as one vector with the next power of two of lanes, but at most those of `k`."""
    b, lanes, count = k.b, k.lanes, power_of_two(len(vectors))
    if lanes == 1:
        return vectors[0]
    pending = [*vectors, *[zeros(element, lanes)] * (count - len(vectors))]
    width = 1  # each vector holds runs of `width` partial sums
    while len(pending) > 1:
        even = [half + run + place for run in range(0, lanes, 2 * width) for half in (0, lanes) for place in range(width)]
        odd = [place + width for place in even]
        pending = [b.fadd(shuffle(b, x, y, even), shuffle(b, x, y, odd)) for x, y in zip(pending[::2], pending[1::2], strict=True)]
        width *= 2
    result = pending[0]
    while lanes > count:
        lanes //= 2
        result = b.fadd(shuffle(b, result, result, range(lanes)), shuffle(b, result, result, range(lanes, 2 * lanes)))
    return result if count > 1 else b.extract_element(result, ir.Constant(I32, 0)) if isinstance(result.type, ir.VectorType) else result


def power_of_two(least: int) -> int:
    """The smallest power of two that is not below `least`."""
    return 1 << max(0, least - 1).bit_length()


def transposed(b: ir.IRBuilder, rows: Sequence[ir.Value]) -> list[ir.Value]:
    """The columns of a square of a power of two of rows, each a vector; of one row, a scalar."""
    lanes, out, bit = len(rows), list(rows), 1
    while bit < lanes:
        for low in (i for i in range(lanes) if not i & bit):
            x, y = out[low], out[low + bit]
            out[low] = shuffle(b, x, y, [lanes + c - bit if c & bit else c for c in range(lanes)])
            out[low + bit] = shuffle(b, x, y, [lanes + c if c & bit else c + bit for c in range(lanes)])
        bit *= 2
    return out


def pack(
    k: VectorBuilder,
    element: ir.Type,
    source: ir.Value,
    strides: tuple[int, int],
    panel: ir.Value,
    panel_stride: int,
    depth: int,
    width: int,
) -> None:
    """Copies panel[p, c] = source[p, c] for c < width, with the panel contiguous along c, and zeros up to whole vectors.

    `strides` are the source's along p and c.
    """
    b, rest = k.b, width % k.lanes
    if strides[0] == 1 and strides[1] != 1 and depth:
        if rest:
            with counting(b, 0, depth) as p:
                k.store(zeros(element, k.lanes), at(b, panel, element, (p, panel_stride), (index(width - rest), 1)))
        pack_squares(b, element, source, strides[1], panel, panel_stride, depth, width, min(k.lanes, power_below(min(depth, width))))
        return
    with counting(b, 0, depth) as p:
        for start in range(0, width, k.lanes):
            valid = min(k.lanes, width - start)
            first = at(b, source, element, (p, strides[0]), (index(start), strides[1]))
            if strides[1] == 1 or k.lanes == 1:
                line = k.load(first, element, valid if valid < k.lanes else None)
            else:  # lanes that do not count repeat the last one
                line = k.gather(
                    first, ir.Constant(ir.VectorType(I64, k.lanes), [min(c, valid - 1) * strides[1] for c in range(k.lanes)]), element
                )
            k.store(line, at(b, panel, element, (p, panel_stride), (index(start), 1)))


def pack_squares(
    b: ir.IRBuilder, element: ir.Type, source: ir.Value, stride: int, panel: ir.Value, panel_stride: int, depth: int, width: int, side: int
) -> None:
    """Copies a source that is contiguous along p, in squares that are transposed in registers. The last ones overlap with those before."""
    k = VectorBuilder(b, side)

    def clamped(position: ir.Value, length: int) -> ir.Value:
        """Where a square begins that would begin at `position`, but must end within `length`."""
        if length % side == 0:
            return position
        return b.select(b.icmp_signed("<", position, index(length - side)), position, index(length - side))

    with counting(b, 0, width, side) as c, counting(b, 0, depth, side) as p:
        column, line = clamped(c, width), clamped(p, depth)
        corner = at(b, source, element, (line, 1), (column, stride))
        columns = [k.load(at(b, corner, element, (index(u), stride)), element) for u in range(side)]
        target = at(b, panel, element, (line, panel_stride), (column, 1))
        for u, vector in enumerate(transposed(b, columns)):
            k.store(vector, at(b, target, element, (index(u), panel_stride)))


def power_below(most: int) -> int:
    """The largest power of two that is not above `most`, which is at least 1."""
    return 1 << most.bit_length() - 1
