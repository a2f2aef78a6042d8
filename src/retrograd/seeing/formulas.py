"""Formulas of operations as text and as MathML: the result y, and the product Jᵀv for each operand.

They are written as Python expressions, which are parsed and printed in either form. `x` is the first operand, `v` what comes in;
`T(W)` is a transpose, `sub(x, i)` an index, `total(i, a)` a sum over i, `a if c else b` a choice.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from html import escape

# by operation: the result, and the product Jᵀv for each operand
FORMULAS: dict[str, tuple[str, ...]] = {
    "add": ("x + z", "v", "v"), "sub": ("x - z", "v", "-v"), "rsub": ("z - x", "-v", "v"), "mul": ("x * z", "z * v", "x * v"),
    "div": ("x / z", "v / z", "-x / z**2 * v"), "neg": ("-x", "-v"), "square": ("x**2", "2 * x * v"),
    "pow_scalar": ("x**a", "a * x**(a - 1) * v"), "pow": ("x**z", "z * x**(z - 1) * v", "x**z * ln(x) * v"),
    "pow_base": ("a**x", "a**x * ln(a) * v"), "exp": ("exp(x)", "y * v"), "exp2": ("2**x", "y * ln(2) * v"),
    "expm1": ("exp(x) - 1", "(y + 1) * v"), "log": ("ln(x)", "v / x"), "log2": ("log2(x)", "v / (x * ln(2))"),
    "log10": ("log10(x)", "v / (x * ln(10))"), "log1p": ("ln(1 + x)", "v / (1 + x)"), "sqrt": ("sqrt(x)", "v / (2 * y)"),
    "rsqrt": ("1 / sqrt(x)", "-y**3 / 2 * v"), "reciprocal": ("1 / x", "-y**2 * v"), "sin": ("sin(x)", "cos(x) * v"),
    "cos": ("cos(x)", "-sin(x) * v"), "tan": ("tan(x)", "(1 + y**2) * v"), "asin": ("arcsin(x)", "v / sqrt(1 - x**2)"),
    "acos": ("arccos(x)", "-v / sqrt(1 - x**2)"), "atan": ("arctan(x)", "v / (1 + x**2)"), "sinh": ("sinh(x)", "cosh(x) * v"),
    "cosh": ("cosh(x)", "sinh(x) * v"), "tanh": ("tanh(x)", "(1 - y**2) * v"), "asinh": ("arsinh(x)", "v / sqrt(x**2 + 1)"),
    "acosh": ("arcosh(x)", "v / sqrt(x**2 - 1)"), "atanh": ("artanh(x)", "v / (1 - x**2)"), "abs": ("abs(x)", "sign(x) * v"),
    "sign": ("sign(x)", "0"), "ceil": ("ceil(x)", "0"), "floor": ("floor(x)", "0"), "round": ("round(x)", "0"), "trunc": ("trunc(x)", "0"),
    "maximum": ("max(x, z)", "v if x > z else 0", "v if z > x else 0"), "minimum": ("min(x, z)", "v if x < z else 0", "v if z < x else 0"),
    "clamp": ("min(max(x, a), b)", "v if a <= x <= b else 0"), "clamp_min": ("max(x, a)", "v if x >= a else 0"),
    "clamp_max": ("min(x, a)", "v if x <= a else 0"), "where": ("x if c else z", "0", "v if c else 0", "0 if c else v"),
    "lerp": ("x + w * (z - x)", "(1 - w) * v", "w * v", "(z - x) * v"), "hypot": ("sqrt(x**2 + z**2)", "x / y * v", "z / y * v"),
    "atan2": ("atan2(x, z)", "z / (x**2 + z**2) * v", "-x / (x**2 + z**2) * v"), "erf": ("erf(x)", "2 / sqrt(pi) * exp(-x**2) * v"),
    "sigmoid": ("1 / (1 + exp(-x))", "y * (1 - y) * v"), "log_sigmoid": ("-ln(1 + exp(-x))", "sigma(-x) * v"),
    "silu": ("x * sigma(x)", "sigma(x) * (1 + x * (1 - sigma(x))) * v"), "softplus": ("ln(1 + exp(x))", "sigma(x) * v"),
    "relu": ("max(x, 0)", "v if x > 0 else 0"), "leaky_relu": ("x if x > 0 else a * x", "v if x > 0 else a * v"),
    "prelu": ("x if x > 0 else w * x", "v if x > 0 else w * v", "0 if x > 0 else x * v"),
    "elu": ("x if x > 0 else exp(x) - 1", "v if x > 0 else exp(x) * v"), "gelu": ("x * Phi(x)", "(Phi(x) + x * phi(x)) * v"),
    "hardtanh": ("min(max(x, a), b)", "v if a < x < b else 0"), "masked_fill": ("a if mask else x", "0 if mask else v"),
    "linear": ("x @ T(W) + b", "v @ W", "T(v) @ x", "total(i, sub(v, i))"), "mm": ("x @ z", "v @ T(z)", "T(x) @ v"),
    "bmm": ("x @ z", "v @ T(z)", "T(x) @ v"), "mv": ("x @ z", "v @ T(z)", "T(x) @ v"), "dot": ("T(x) @ z", "v * z", "v * x"),
    "convolution": ("conv(x, W) + b", "conv(T(W), v)", "conv(x, v)", "total(i, sub(v, i))"),
    "convolution_transpose": ("conv(T(W), x) + b", "conv(W, v)", "conv(v, x)", "total(i, sub(v, i))"),
    "linalg_solve": ("x**-1 @ z", "-T(x**-1) @ v @ T(y)", "T(x**-1) @ v"),
    "sum": ("total(i, sub(x, i))", "v"), "mean": ("1 / n * total(i, sub(x, i))", "v / n"), "prod": ("prod(x)", "y / x * v"),
    "var": ("1 / (n - 1) * total(i, (sub(x, i) - mean(x))**2)", "2 / (n - 1) * (x - mean(x)) * v"),
    "std": ("sqrt(var(x))", "(x - mean(x)) / ((n - 1) * y) * v"), "amax": ("max(x)", "v if x == y else 0"),
    "amin": ("min(x)", "v if x == y else 0"), "max": ("max(x)", "v if x == y else 0"), "min": ("min(x)", "v if x == y else 0"),
    "logsumexp": ("ln(total(i, exp(sub(x, i))))", "softmax(x) * v"), "linalg_vector_norm": ("norm(x)", "x / y * v"),
    "softmax": ("exp(x) / total(i, exp(sub(x, i)))", "y * (v - T(y) @ v)"),
    "log_softmax": ("x - ln(total(i, exp(sub(x, i))))", "v - softmax(x) * total(i, sub(v, i))"),
    "mse_loss": ("(x - z)**2", "2 * (x - z) * v", "-2 * (x - z) * v"),
    "mse_loss_reduced": ("1 / n * total(i, (sub(x, i) - sub(z, i))**2)", "2 / n * (x - z) * v", "-2 / n * (x - z) * v"),
    "l1_loss_reduced": ("1 / n * total(i, abs(sub(x, i) - sub(z, i)))", "sign(x - z) / n * v", "-sign(x - z) / n * v"),
    "mse_loss_reduced sum": ("total(i, (sub(x, i) - sub(z, i))**2)", "2 * (x - z) * v", "-2 * (x - z) * v"),
    "l1_loss_reduced sum": ("total(i, abs(sub(x, i) - sub(z, i)))", "sign(x - z) * v", "-sign(x - z) * v"),
    "nll_loss": ("-sub(x, z)", "-v * sub(e, z)"), "normalize": ("(x - mu) / sigma * w + b",), "embedding": ("sub(W, i)", "total(i, T(sub(e, i)) @ v)"),
    "index": ("sub(x, i)", "T(sub(e, i)) @ v"), "gather": ("sub(x, i)", "T(sub(e, i)) @ v"), "select": ("sub(x, i)", "T(sub(e, i)) @ v"),
    "max_pool": ("max(x)", "v if x == y else 0"), "avg_pool": ("mean(x)", "total(j, sub(v, j) / n)"), "adaptive_avg_pool": ("mean(x)", "total(j, sub(v, j) / n)"),
    "cumsum": ("total(j, sub(x, j))", "total(j, sub(v, j))"), "clone": ("x", "v"), "_to_copy": ("x", "v"), "view": ("x", "v"),
    "expand": ("x", "total(i, sub(v, i))"), "permute": ("T(x)", "T(v)"), "trace": ("trace(x)", "v * I"),
    "addcmul": ("x + a * w * z", "v", "a * z * v", "a * w * v"), "linalg_inv": ("x**-1", "-T(y) @ v @ T(y)"), "linalg_det": ("det(x)", "y * T(x**-1) * v"),
}  # fmt: skip

GREEK = {"sigma": "σ", "Phi": "Φ", "phi": "φ", "pi": "π", "mu": "μ"}
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
SUBSCRIPT = {"i": "ᵢ", "j": "ⱼ"}
COMPARE = {ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "="}
WORDS = {"en": ("if", "otherwise"), "es": ("si", "si no")}


def precedence(node: ast.expr) -> int:
    """How strongly an expression holds together: sums 1, products 2, signs 3, powers 4, the rest 5; a choice 0."""
    if isinstance(node, ast.BinOp):
        return {ast.Add: 1, ast.Sub: 1, ast.Pow: 4}.get(type(node.op), 2)
    if isinstance(node, (ast.IfExp, ast.Compare)):
        return 0
    if isinstance(node, ast.UnaryOp):
        return 2
    return precedence_of_total(node)


def precedence_of_total(node: ast.expr) -> int:
    """A sum over an index holds as a product does."""
    return 2 if isinstance(node, ast.Call) and called(node) == "total" else 5


def called(node: ast.Call) -> str:
    """A function's name."""
    assert isinstance(node.func, ast.Name)
    return node.func.id


class Text:
    """Prints an expression in one line."""

    def __init__(self, language: str) -> None:
        self.words = WORDS[language]

    def inner(self, node: ast.expr, least: int) -> str:
        """An operand, in brackets if it holds together less than that."""
        shown = self.show(node)
        return f"({shown})" if precedence(node) < least else shown

    def show(self, node: ast.expr) -> str:
        """An expression."""
        match node:
            case ast.Name(id=name):
                return GREEK.get(name, name)
            case ast.Constant(value=value):
                return str(value)
            case ast.UnaryOp(operand=operand):
                return f"-{self.inner(operand, 2)}"
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = [self.show(left)]
                for op, other in zip(ops, others, strict=True):
                    parts += [COMPARE[type(op)], self.show(other)]
                return " ".join(parts)
            case ast.IfExp(test=test, body=body, orelse=other):
                return f"{self.show(body)} {self.words[0]} {self.show(test)}, {self.words[1]} {self.show(other)}"
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(left, op, right)
            case ast.Call():
                return self.call(node)
        raise TypeError(f"no way to print {ast.dump(node)}")

    def binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> str:
        """Two operands."""
        if isinstance(op, ast.Pow):
            exponent = ast.unparse(right)
            if exponent.lstrip("-").isdigit():
                return self.inner(left, 5) + exponent.translate(SUPERSCRIPT)
            return f"{self.inner(left, 5)}^{self.inner(right, 5)}"
        sign = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: " · ", ast.Div: " / ", ast.MatMult: " "}[type(op)]
        mine = 1 if isinstance(op, (ast.Add, ast.Sub)) else 2
        return self.inner(left, mine) + sign + self.inner(right, mine + isinstance(op, (ast.Sub, ast.Div)))

    def call(self, node: ast.Call) -> str:
        """A function of something."""
        name, args = called(node), node.args
        if name == "T":
            return self.inner(args[0], 5) + "ᵀ"
        if name == "sub":
            index = self.show(args[1])
            return self.inner(args[0], 5) + SUBSCRIPT.get(index, f"[{index}]")
        if name == "total":
            return f"Σ{SUBSCRIPT[self.show(args[0])]} {self.inner(args[1], 2)}"
        if name == "sqrt":
            return f"√({self.show(args[0])})"
        return f"{GREEK.get(name, name)}({', '.join(map(self.show, args))})"


class MathML(Text):
    """Prints an expression as MathML."""

    def inner(self, node: ast.expr, least: int) -> str:
        shown = self.show(node)
        return f"<mrow><mo>(</mo>{shown}<mo>)</mo></mrow>" if precedence(node) < least else shown

    def show(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                return f"<mi>{escape(GREEK.get(name, name))}</mi>"
            case ast.Constant(value=value):
                return f"<mn>{value!s}</mn>"
            case ast.UnaryOp(operand=operand):
                return f"<mrow><mo>−</mo>{self.inner(operand, 2)}</mrow>"
            case ast.Compare(left=left, ops=ops, comparators=others):
                parts = [self.show(left)]
                for op, other in zip(ops, others, strict=True):
                    parts += [f"<mo>{escape(COMPARE[type(op)])}</mo>", self.show(other)]
                return f"<mrow>{''.join(parts)}</mrow>"
            case ast.IfExp(test=test, body=body, orelse=other):
                rows = (
                    f"<mtr><mtd>{self.show(body)}</mtd><mtd><mtext>{self.words[0]} </mtext>{self.show(test)}</mtd></mtr>",
                    f"<mtr><mtd>{self.show(other)}</mtd><mtd><mtext>{self.words[1]}</mtext></mtd></mtr>",
                )
                return f"<mrow><mo>{{</mo><mtable>{''.join(rows)}</mtable></mrow>"
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(left, op, right)
            case ast.Call():
                return self.call(node)
        raise TypeError(f"no way to print {ast.dump(node)}")

    def binary(self, left: ast.expr, op: ast.operator, right: ast.expr) -> str:
        if isinstance(op, ast.Pow):
            return f"<msup>{self.inner(left, 5)}{self.show(right)}</msup>"
        if isinstance(op, ast.Div):
            return f"<mfrac>{self.show(left)}{self.show(right)}</mfrac>"
        sign = {ast.Add: "<mo>+</mo>", ast.Sub: "<mo>−</mo>", ast.Mult: "<mo>·</mo>", ast.MatMult: ""}[type(op)]
        mine = 1 if isinstance(op, (ast.Add, ast.Sub)) else 2
        return f"<mrow>{self.inner(left, mine)}{sign}{self.inner(right, mine + isinstance(op, ast.Sub))}</mrow>"

    def call(self, node: ast.Call) -> str:
        name, args = called(node), node.args
        if name == "T":
            return f"<msup>{self.inner(args[0], 5)}<mi>T</mi></msup>"
        if name == "sub":
            return f"<msub>{self.inner(args[0], 5)}{self.show(args[1])}</msub>"
        if name == "total":
            return f"<mrow><munder><mo>∑</mo>{self.show(args[0])}</munder>{self.inner(args[1], 2)}</mrow>"
        if name == "sqrt":
            return f"<msqrt>{self.show(args[0])}</msqrt>"
        commas = "<mo>,</mo>".join(map(self.show, args))
        return f"<mrow><mi>{GREEK.get(name, name)}</mi><mo>(</mo>{commas}<mo>)</mo></mrow>"


def expressions(op: str, operands: Sequence[str], at: int) -> tuple[str, str]:
    """The result and the product Jᵀv as they are written above; for an operation that is not there, made from its name.

    Of a loss that is added up, not averaged, `op` ends in " sum".
    """
    known = FORMULAS.get(op, ()) or FORMULAS.get(op.removesuffix(" sum"), ())
    op = op.removesuffix(" sum")
    result = known[0] if known else f"{op if op.isidentifier() else 'f'}({', '.join(operands)})"
    return result, known[at + 1] if len(known) > at + 1 else "T(J) @ v"


def formula(op: str, operands: Sequence[str] = ("x",), at: int = 0, language: str = "en") -> tuple[str, str]:
    """The forward formula, and that of Jᵀv for operand `at`, in one line each.

    >>> formula("sigmoid")
    ('y = 1 / (1 + exp(-x))', 'Jᵀv = y · (1 - y) · v')
    >>> formula("relu", language="es")[1]
    'Jᵀv = v si x > 0, si no 0'
    """
    printer = Text(language)
    result, product = (printer.show(ast.parse(e, mode="eval").body) for e in expressions(op, operands, at))
    return f"y = {result}", f"Jᵀv = {product}"


def mathml(op: str, operands: Sequence[str] = ("x",), at: int = 0, language: str = "en") -> tuple[str, str]:
    """The same as MathML elements.

    >>> mathml("square")[0]
    '<math><mi>y</mi><mo>=</mo><msup><mi>x</mi><mn>2</mn></msup></math>'
    """
    printer = MathML(language)
    result, product = (printer.show(ast.parse(e, mode="eval").body) for e in expressions(op, operands, at))
    left = "<mrow><msup><mi>J</mi><mi>T</mi></msup><mi>v</mi></mrow>"
    return f"<math><mi>y</mi><mo>=</mo>{result}</math>", f"<math>{left}<mo>=</mo>{product}</math>"


__all__ = ["FORMULAS", "formula", "mathml"]
