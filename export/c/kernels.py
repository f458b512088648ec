"""The functions that printed steps call, of which those are printed that are called. `NAME_` stands for the model.

Approximations, measured over all float32 in their range: exponential 8.1e-8 relative, logistic 8.9e-8 and hyperbolic
tangent 3.4e-7 absolute. What is not a number stays none.
"""

from __future__ import annotations

from .tables import TABLE_KERNELS

# Coefficients: Cephes, expf (S. Moshier).
_EXP = """\
/* e to the power of x, between e^-87 and e^88. */
static float NAME_exp(float x)
{
    float n, r, y;
    uint32_t bits;
    x = 88.0f < x ? 88.0f : x;
    x = -87.0f > x ? -87.0f : x;
    n = x * 1.44269504088896341f + 12582912.0f;
    memcpy(&bits, &n, sizeof bits);
    n -= 12582912.0f;
    r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    bits = (bits + 127u) << 23;
    memcpy(&n, &bits, sizeof n);
    return y * n;
}
"""
_LOGISTIC = """\
static float NAME_logistic(float x)
{
    return 1.0f / (1.0f + NAME_exp(-x));
}
"""
# Coefficients: Eigen, generic_fast_tanh_float.
_TANH = """\
static float NAME_tanh(float x)
{
    float s, p, q;
    x = 7.90531110763549805f < x ? 7.90531110763549805f : x;
    x = -7.90531110763549805f > x ? -7.90531110763549805f : x;
    s = x * x;
    p = -2.76076847742355e-16f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    q = 1.19825839466702e-06f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}
"""
# A division takes as long as several products.
_SOFTMAX = """\
/* y may be x. */
static void NAME_softmax(const float *x, float *y, int n)
{
    float largest = x[0], sum = 0.0f;
    for (int i = 1; i < n; i++) largest = largest < x[i] ? x[i] : largest;
    for (int i = 0; i < n; i++) {
        y[i] = NAME_exp(x[i] - largest);
        sum += y[i];
    }
    sum = 1.0f / sum;
    for (int i = 0; i < n; i++) y[i] *= sum;
}
"""
# Eight columns in eight variables: compilers for small cores keep these in registers, and an array of eight not.
_COLUMNS = "abcdefgh"


def _added(factor: str, first: int = 0) -> str:
    """Return the lines that add the products of a factor and the weights from `first` on."""
    return "\n".join(f"            {sum} += {factor} * w[{first + j}];" for j, sum in enumerate(_COLUMNS))


def _of_each_column(text: str) -> str:
    """Return `text` for each column, with SUM and +J; of all but the first only if there are so many."""
    lines = [text.replace("+J", f" + {j}" if j else "").replace("SUM", sum) for j, sum in enumerate(_COLUMNS)]
    return "\n".join(line.replace("IF", f"if (width > {j}) " if j else "") for j, line in enumerate(lines))


_PRODUCT = f"""\
/* y = start + x w, for m numbers x, n numbers y, and w in blocks of 8 columns: (n / 8, m, 8). start may be y, or 0. */
static void NAME_product(const float *x, int m, const float *w, const float *start, float *y, int n)
{{
    for (int j = 0; j < n; j += 8) {{
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f, e = 0.0f, f = 0.0f, g = 0.0f, h = 0.0f;
        const int width = n - j;
        const float *p = x;
        for (const float *end = x + m - 1; p < end; p += 2, w += 16) {{
            const float v = p[0], next = p[1];
{_added("v")}
{_added("next", 8)}
        }}
        if (m % 2) {{
            const float v = *p;
{_added("v")}
            w += 8;
        }}
        if (start) {{
{_of_each_column("            IFSUM += start[j+J];")}
        }}
{_of_each_column("        IFy[j+J] = SUM;")}
    }}
}}
"""
_PRODUCT8 = """\
/* y = start + x (w scales), for m numbers x, n numbers y, and int8 w in blocks of 4 columns. x is brought to integers q
   up to `levels`, which the weights allow: no sum is beyond 32 bits. start may be y, or 0. */
static void NAME_product8(const float *x, int m, float levels, int16_t *q, const int8_t *w, const float *scales,
                          const float *start, float *y, int n)
{
    uint32_t largest = 0;
    float top, to, back;
    for (int i = 0; i < m; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7FFFFFFFu;
        largest = largest < bits ? bits : largest;
    }
    memcpy(&top, &largest, sizeof top);
    if (largest >= 0x7F800000u) { /* not finite, which the caller finds in y */
        for (int j = 0; j < n; j++) y[j] = NAN;
        return;
    }
    to = top > 1e-30f ? levels / top : 0.0f;
    back = top / levels;
    for (int i = 0; i < m; i++) q[i] = (int16_t)(x[i] * to + (x[i] < 0.0f ? -0.5f : 0.5f));
    for (int j = 0; j < n; j += 4) {
        int32_t a = 0, b = 0, c = 0, d = 0;
        const int width = n - j;
        for (const int16_t *p = q, *end = q + m; p < end; p++, w += 4) {
            const int32_t v = *p;
            a += v * w[0];
            b += v * w[1];
            c += v * w[2];
            d += v * w[3];
        }
        y[j] = (start ? start[j] : 0.0f) + (float)a * (back * scales[j]);
        if (width > 1) y[j + 1] = (start ? start[j + 1] : 0.0f) + (float)b * (back * scales[j + 1]);
        if (width > 2) y[j + 2] = (start ? start[j + 2] : 0.0f) + (float)c * (back * scales[j + 2]);
        if (width > 3) y[j + 3] = (start ? start[j + 3] : 0.0f) + (float)d * (back * scales[j + 3]);
    }
}
"""
_ROW8 = """\
/* y = row scales */
static void NAME_row8(const int8_t *row, const float *scales, float *y, int n)
{
    for (int i = 0; i < n; i++) y[i] = (float)row[i] * scales[i];
}
"""
# Name -> the function, and those that it calls. In an order in which each comes after these.
KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "exp": (_EXP, ()),
    "logistic": (_LOGISTIC, ("exp",)),
    "tanh": (_TANH, ()),
    "softmax": (_SOFTMAX, ("exp",)),
    "product": (_PRODUCT, ()),
    "product8": (_PRODUCT8, ()),
    "row8": (_ROW8, ()),
}


def called_kernels(used: set[str], *, tables: bool = False) -> dict[str, str]:
    """Return name -> text of the functions that `used` ones need, in order; `tables`: with those of `tables.py`."""
    kernels = {**TABLE_KERNELS, **KERNELS, **TABLE_KERNELS} if tables else KERNELS
    needed = used.union(*(kernels[kernel][1] for kernel in used))
    return {kernel: text for kernel, (text, _) in kernels.items() if kernel in needed}


def kernels_text(used: set[str], name: str, *, tables: bool = False) -> str:
    """Return the functions that `used` ones need, those of a model called `name`; `tables` as for `called_kernels`."""
    return "\n".join(called_kernels(used, tables=tables).values()).replace("NAME_", f"{name}_")
