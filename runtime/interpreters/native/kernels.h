/* The operations, for one kind of processor. Included once for each, with
 *   NAMED(x)  a name of its own for x
 *   LANES     numbers in a vector; 1: no vectors
 *   FOR       attributes of functions that are compiled for it
 *   HALVES    it converts float16, by FROM_HALF(p), a vector of the LANES float16 at p; undefined: it does not
 *   ADD_PAIRS(sum, x, p)  the sums of integers with x, pairs of integers of 16 bits, times the 2 LANES int8 at p, pair by
 *             pair: LANES sums
 * Vectors are those of GCC and Clang. All sums have a fixed order, so that a processor always answers the same. */

#define vf NAMED(Float)
#define vi NAMED(Int)
#define vu NAMED(Unsigned)
#define near NAMED(Near)
#define near_int NAMED(NearInt)
#if LANES > 1
typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef int32_t near_int __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float near __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* wherever it lies */
#define LOAD(p) ((vf)*(const near *)(p))
#define STORE(p, x) (*(near *)(p) = (x))
#define STORE_INT(p, x) (*(near_int *)(p) = (x))
#define ALL(x) ((vf){0} + (x))
#define ALL_INT(x) ((vi){0} + (x))
#define TO_FLOAT(x) __builtin_convertvector(x, vf)
#define AS_INT(x) ((vi)(x))
#define AS_FLOAT(x) ((vf)(x))
#define COUNTED (*(const vi *)counted)
#define WHERE(mask, x, y) ((vf)(((mask) & (vi)(x)) | (~(mask) & (vi)(y))))
#else
typedef float vf;
typedef int32_t vi;
typedef uint32_t vu;
#define LOAD(p) (*(p))
#define STORE(p, x) (*(p) = (x))
#define STORE_INT(p, x) (*(p) = (x))
#define ALL(x) (x)
#define ALL_INT(x) (x)
#define TO_FLOAT(x) ((float)(x))
#define AS_INT(x) NAMED(as_int)(x)
#define AS_FLOAT(x) NAMED(as_float)(x)
#define COUNTED 0
#define WHERE(mask, x, y) ((mask) ? (x) : (y))
static INLINE vi NAMED(as_int)(vf x) { vi i; memcpy(&i, &x, 4); return i; }
static INLINE vf NAMED(as_float)(vi i) { vf x; memcpy(&x, &i, 4); return x; }
#endif

/* Cephes' expf, to 2 units in the last place; 0 below -87.3, infinity above 88.7. What is not a number stays none. */
static INLINE FOR vf NAMED(exp)(vf x) {
    x = WHERE(x > 89.0f, ALL(89.0f), x);
    x = WHERE(x < -87.3f, ALL(-87.3f), x);
    vf n = x * 1.44269504088896341f + 12582912.0f; /* rounded to a whole number, in the lowest bits */
    const vi bits = AS_INT(n);
    n -= 12582912.0f;
    const vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * (r * r) + r + 1.0f;
    return y * AS_FLOAT((vi)((vu)(bits + 126) << 23)) * 2.0f;
}

static INLINE FOR vf NAMED(logistic)(vf x) { return 1.0f / (1.0f + NAMED(exp)(-x)); }

/* A rational function (that of Eigen), to 3.4e-7. */
static INLINE FOR vf NAMED(tanh)(vf x) {
    x = WHERE(x > 7.90531110763549805f, ALL(7.90531110763549805f), x);
    x = WHERE(x < -7.90531110763549805f, ALL(-7.90531110763549805f), x);
    const vf s = x * x;
    vf p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    vf q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

/* Likewise, to 4e-7. */
static INLINE FOR vf NAMED(erf)(vf x) {
    x = WHERE(x > 4.0f, ALL(4.0f), x);
    x = WHERE(x < -4.0f, ALL(-4.0f), x);
    const vf s = x * x;
    vf p = s * -2.72614225801306e-10f + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    vf q = s * -1.45660718464996e-05f + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}

static INLINE FOR vf NAMED(copy)(vf x) { return x; }
static INLINE FOR vf NAMED(negative)(vf x) { return -x; }
static INLINE FOR vf NAMED(square)(vf x) { return x * x; }
static INLINE FOR vf NAMED(reciprocal)(vf x) { return 1.0f / x; }
static INLINE FOR vf NAMED(absolute)(vf x) { return AS_FLOAT(AS_INT(x) & 0x7fffffff); }
static INLINE FOR vf NAMED(add)(vf x, vf y) { return x + y; }
static INLINE FOR vf NAMED(subtract)(vf x, vf y) { return x - y; }
static INLINE FOR vf NAMED(multiply)(vf x, vf y) { return x * y; }
static INLINE FOR vf NAMED(divide)(vf x, vf y) { return x / y; }
/* As numpy's: not a number if one of both is none. */
static INLINE FOR vf NAMED(maximum)(vf x, vf y) { return WHERE((x > y) | (x != x), x, y); }
static INLINE FOR vf NAMED(minimum)(vf x, vf y) { return WHERE((x < y) | (x != x), x, y); }

/* Functions of one vector at a time, by the C library. */
#define BY_LIBRARY(name, function) \
    static INLINE FOR vf NAMED(name)(vf x) { \
        float t[LANES]; \
        STORE(t, x); \
        for (int k = 0; k < LANES; k++) t[k] = function(t[k]); \
        return LOAD(t); \
    }
BY_LIBRARY(sqrt, sqrtf)
BY_LIBRARY(log, logf)
#undef BY_LIBRARY
static INLINE FOR vf NAMED(power)(vf x, vf y) {
    float t[LANES], u[LANES];
    STORE(t, x);
    STORE(u, y);
    for (int k = 0; k < LANES; k++) t[k] = powf(t[k], u[k]);
    return LOAD(t);
}

/* The first numbers of a vector. */
static INLINE FOR void NAMED(store_first)(float *out, vf x, int32_t count) {
#ifdef STORE_FIRST
    STORE_FIRST(out, x, count);
#else
    float t[LANES];
    STORE(t, x);
    for (int32_t k = 0; k < count && k < LANES; k++) out[k] = t[k];
#endif
}
/* Elements that do not lie one after the other: vector by vector through memory. */
#define GATHERED(VALUE) \
    for (int32_t i = 0; i < n; i += LANES) { \
        const int32_t width = n - i < LANES ? n - i : LANES; \
        float t[LANES] = {0}, u[LANES] = {0}; \
        for (int32_t k = 0; k < width; k++) { \
            t[k] = a[(int64_t)(i + k) * sa]; \
            if (b) u[k] = b[(int64_t)(i + k) * sb]; \
        } \
        const vf x = LOAD(t), y = LOAD(u); \
        (void)y; \
        STORE(t, VALUE); \
        for (int32_t k = 0; k < width; k++) out[(int64_t)(i + k) * so] = t[k]; \
    }
/* What is read behind the last element is not used: behind all memory is room for a vector. */
#define STRAIGHT(X, Y, VALUE) \
    do { \
        int32_t i = 0; \
        for (; i + LANES <= n; i += LANES) { \
            const vf x = X, y = Y; \
            (void)y; \
            STORE(out + i, VALUE); \
        } \
        if (i < n) { \
            const vf x = X, y = Y; \
            (void)y; \
            NAMED(store_first)(out + i, VALUE, n - i); \
        } \
    } while (0)
#define UNARY(name) \
    static FOR void NAMED(name##_all)(float *out, const float *a, int32_t n, int32_t so, int32_t sa) { \
        const float *const b = NULL; \
        const int32_t sb = 0; \
        if (so == 1 && sa == 1) { \
            STRAIGHT(LOAD(a + i), x, NAMED(name)(x)); \
        } else GATHERED(NAMED(name)(x)) \
    }
#define BINARY(name) \
    static FOR void NAMED(name##_all)( \
        float *out, const float *a, const float *b, int32_t n, int32_t so, int32_t sa, int32_t sb) { \
        const int straight = so == 1; \
        if (straight && sa == 1 && sb == 1) { \
            STRAIGHT(LOAD(a + i), LOAD(b + i), NAMED(name)(x, y)); \
        } else if (straight && sa == 1 && sb == 0) { \
            const vf every = ALL(*b); \
            STRAIGHT(LOAD(a + i), every, NAMED(name)(x, y)); \
        } else if (straight && sa == 0 && sb == 1) { \
            const vf every = ALL(*a); \
            STRAIGHT(every, LOAD(b + i), NAMED(name)(x, y)); \
        } else GATHERED(NAMED(name)(x, y)) \
    }
UNARY(copy) UNARY(absolute) UNARY(negative) UNARY(square) UNARY(reciprocal) UNARY(sqrt)
UNARY(exp) UNARY(logistic) UNARY(tanh) UNARY(log) UNARY(erf)
BINARY(add) BINARY(subtract) BINARY(multiply) BINARY(divide) BINARY(maximum) BINARY(minimum) BINARY(power)
#undef UNARY
#undef BINARY

/* Fold the numbers of a vector into one, and n elements into one; `name` folds two of them. */
#define FOLD(fold, name) \
    static INLINE FOR float NAMED(across_##name)(vf x) { \
        float lanes[LANES]; \
        STORE(lanes, x); \
        for (int width = LANES / 2; width; width /= 2) \
            EVERY(k, width) lanes[k] = base_##name(lanes[k], lanes[k + width]); \
        return lanes[0]; \
    } \
    static FOR float NAMED(fold)(const float *a, int32_t n, int32_t sa, float start) { \
        int32_t i = 0; \
        if (sa == 1 && n >= LANES) { \
            vf all = LOAD(a); \
            for (i = LANES; i + LANES <= n; i += LANES) all = NAMED(name)(all, LOAD(a + i)); \
            start = base_##name(start, NAMED(across_##name)(all)); \
        } \
        for (; i < n; i++) start = base_##name(start, a[(int64_t)i * sa]); \
        return start; \
    }
FOLD(sum_of, add) FOLD(max_of, maximum) FOLD(min_of, minimum)
#undef FOLD

/* Powers of e above the largest number, over their sum. The last vector is filled up with what changes nothing. */
static FOR void NAMED(softmax)(float *out, const float *a, int32_t n) {
    const int32_t whole = n / LANES * LANES, left = n - whole;
    const vi is_there = COUNTED < left;
    vf tops = WHERE(is_there, LOAD(a + whole), ALL(-INFINITY)), sums = ALL(0.0f);
    for (int32_t i = 0; i < whole; i += LANES) tops = NAMED(maximum)(tops, LOAD(a + i));
    const float top = NAMED(across_maximum)(tops);
    const vf last = WHERE(is_there, NAMED(exp)(LOAD(a + whole) - top), ALL(0.0f));
    for (int32_t i = 0; i < whole; i += LANES) {
        const vf powers = NAMED(exp)(LOAD(a + i) - top);
        sums += powers;
        STORE(out + i, powers);
    }
    const float scale = 1.0f / NAMED(across_add)(sums + last);
    for (int32_t i = 0; i < whole; i += LANES) STORE(out + i, LOAD(out + i) * scale);
    NAMED(store_first)(out + whole, last * scale, left);
}

/* One block of COLUMNS columns of a product: several steps at a time, each with sums of its own, so that no sum waits
 * for the one before it. There are `m` steps; EACH is the type of the weights, of which a step takes TAKEN for a column,
 * and SUMS that of a vector of sums. FACTOR(i) is what step i multiplies with, ADDED(sum, x, w) the sum with the products
 * of x and the weights at w, and TOTAL(sum) the vector of float32 that is scaled by `unit` and the scales of the columns. */
#define BLOCK_OF(COLUMNS, EACH, TAKEN, SUMS, FACTOR, ADDED, TOTAL) \
    do { \
        enum { WIDTH = COLUMNS / LANES, ROWS = WIDTH >= 8 ? 1 : 8 / WIDTH }; \
        const EACH *w = (const EACH *)weights; \
        SUMS sums[ROWS][WIDTH]; \
        int32_t i = 0; \
        EVERY(r, ROWS) EVERY(k, WIDTH) sums[r][k] = (SUMS){0}; \
        for (; i + ROWS <= m; i += ROWS, w += ROWS * COLUMNS * TAKEN) \
            EVERY(r, ROWS) { \
                const SUMS each = FACTOR(i + r); \
                EVERY(k, WIDTH) sums[r][k] = ADDED(sums[r][k], each, w + (r * COLUMNS + k * LANES) * TAKEN); \
            } \
        for (; i < m; i++, w += COLUMNS * TAKEN) { \
            const SUMS each = FACTOR(i); \
            EVERY(k, WIDTH) sums[0][k] = ADDED(sums[0][k], each, w + k * LANES * TAKEN); \
        } \
        for (int r = 1; r < ROWS; r++) EVERY(k, WIDTH) sums[0][k] += sums[r][k]; \
        weights = (const char *)w; \
        EVERY(k, WIDTH) { \
            const int32_t at = j + k * LANES; \
            if (at >= n) break; \
            vf sum = TOTAL(sums[0][k]); \
            if (scales) sum *= unit * LOAD(scales + at); \
            if (start) sum += LOAD(start + at); \
            if (at + LANES <= n) STORE(y + at, sum); \
            else NAMED(store_first)(y + at, sum, n - at); \
        } \
        j += COLUMNS; \
    } while (0)
#define BLOCKS(...) \
    do { \
        int32_t j = 0; \
        while (n - j > WIDE - NARROW) BLOCK_OF(WIDE, __VA_ARGS__); \
        while (n - j > NARROW) BLOCK_OF(MIDDLE, __VA_ARGS__); \
        while (n > j) BLOCK_OF(NARROW, __VA_ARGS__); \
    } while (0)
#define NUMBER(i) ALL(x[i])
#define ITSELF(sum) (sum)
#define PRODUCT_OF(name, EACH, ADDED) \
    static FOR void NAMED(name)( \
        float *y, const float *x, const float *start, const char *weights, int32_t m, int32_t n) { \
        const float *const scales = NULL, unit = 1.0f; \
        BLOCKS(EACH, 1, vf, NUMBER, ADDED, ITSELF); \
    }
#define ADDED_FLOAT(sum, each, w) ((sum) + (each) * LOAD(w))
PRODUCT_OF(product, float, ADDED_FLOAT)
#ifdef FROM_HALF
#define ADDED_HALF(sum, each, w) ((sum) + (each) * FROM_HALF(w))
PRODUCT_OF(product_of_halves, uint16_t, ADDED_HALF)
#undef ADDED_HALF
#endif

/* x as integers of 16 bits, numbers i and i + half in one of 32 bits; return the number that the integer 1 stands for.
 * The largest becomes `levels`. If a number is not finite, no sum that is scaled with the result is. */
static FOR float NAMED(round_to_pairs)(int32_t *pairs, const float *x, int32_t m, int32_t half, float levels) {
    const int32_t whole = m / LANES * LANES;
    const vi is_there = COUNTED < m - whole;
    vf tops = WHERE(is_there, NAMED(absolute)(LOAD(x + whole)), ALL(0.0f));
    for (int32_t i = 0; i < whole; i += LANES) tops = NAMED(maximum)(tops, NAMED(absolute)(LOAD(x + i)));
    const float top = NAMED(across_maximum)(tops);
    const float scale = top > 1e-30f ? levels / top : 0.0f;
    for (int32_t i = 0; i < half; i += LANES) { /* rounded to a whole number, in the lowest bits */
        const vi low = AS_INT(LOAD(x + i) * scale + 12582912.0f) & 0xffff;
        const vi high = AS_INT(LOAD(x + half + i) * scale + 12582912.0f);
        STORE_INT(pairs + i, low | (vi)((vu)high << 16));
    }
    return top / levels;
}

/* The same with int8 weights and what is in `pairs`: weights of row i and of row i + half lie side by side. */
#define PAIR(i) ALL_INT(pairs[i])
static FOR void NAMED(product_of_bytes)(
    float *y, const float *x, const float *start, const char *weights, const float *scales, int32_t rows, int32_t n,
    float levels) {
    int32_t pairs[MOST_ROWS_OF_BYTES / 2 + LANES];
    const int32_t m = (rows + 1) / 2;
    const float unit = NAMED(round_to_pairs)(pairs, x, rows, m, levels);
    BLOCKS(int8_t, 2, vi, PAIR, ADD_PAIRS, TO_FLOAT);
}
#undef PRODUCT_OF
#undef ADDED_FLOAT
#undef NUMBER
#undef ITSELF
#undef PAIR
#undef BLOCKS
#undef BLOCK_OF

static FOR void NAMED(product_all)(const Operation *o, float *y, const float *x, const float *start, const char *w) {
    switch (o->type) {
#ifdef FROM_HALF
    case HALF: NAMED(product_of_halves)(y, x, start, w, o->m, o->n); break;
#endif
    case BYTES: {
        const float *const scales = (const float *)(w + ((int64_t)o->m + 1) / 2 * 2 * ROUNDED(o->n));
        NAMED(product_of_bytes)(y, x, start, w, scales, o->m, o->n, (float)o->stride[A]);
        break;
    }
    default: NAMED(product)(y, x, start, w, o->m, o->n);
    }
}

/* y = x @ b, of a row of a matrix: stride[A] of x, stride[C] from row to row of b, stride[B] within a row. */
static FOR void NAMED(matmul)(const Operation *o, float *y, const float *x, const float *b) {
    const int64_t sx = o->stride[A], down = o->stride[C], along = o->stride[B], so = o->stride[OUT];
    int32_t j = 0;
    if (along == 1 && so == 1)
        for (; j + LANES <= o->n; j += LANES) {
            vf sum = ALL(0.0f);
            for (int32_t i = 0; i < o->m; i++) sum += ALL(x[i * sx]) * LOAD(b + i * down + j);
            STORE(y + j, sum);
        }
    for (; j < o->n; j++) {
        float sum = 0.0f;
        for (int32_t i = 0; i < o->m; i++) sum += x[i * sx] * b[i * down + j * along];
        y[j * so] = sum;
    }
}

static FOR int NAMED(do_one)(const Operation *o, char *to, const char *at, const char *bt, const char *ct) {
    float *const out = (float *)to;
    const float *const a = (const float *)at, *const b = (const float *)bt;
    const int32_t n = o->n, so = o->stride[OUT], sa = o->stride[A], sb = o->stride[B];
#define CASE1(CODE, name) case CODE: NAMED(name##_all)(out, a, n, so, sa); break;
#define CASE2(CODE, name) case CODE: NAMED(name##_all)(out, a, b, n, so, sa, sb); break;
    switch (o->code) {
    CASE1(COPY, copy) CASE1(ABSOLUTE, absolute) CASE1(NEGATIVE, negative) CASE1(SQUARE, square)
    CASE1(RECIPROCAL, reciprocal) CASE1(SQRT, sqrt) CASE1(EXP, exp) CASE1(LOGISTIC, logistic) CASE1(TANH, tanh)
    CASE1(LOG, log) CASE1(ERF, erf)
    CASE2(ADD, add) CASE2(SUBTRACT, subtract) CASE2(MULTIPLY, multiply) CASE2(DIVIDE, divide)
    CASE2(MAXIMUM, maximum) CASE2(MINIMUM, minimum) CASE2(POWER, power)
    case PRODUCT: NAMED(product_all)(o, out, a, b, ct); break;
    case MATMUL: NAMED(matmul)(o, out, a, b); break;
    case SUM: *out = NAMED(sum_of)(a, n, sa, 0.0f); break;
    case MAX: *out = NAMED(max_of)(a, n, sa, -INFINITY); break;
    case MIN: *out = NAMED(min_of)(a, n, sa, INFINITY); break;
    case SOFTMAX: NAMED(softmax)(out, a, n); break;
    case ROW: return row(o, to, at, bt);
    case CHECK: { /* 0 times a number is 0, and 0 times anything else is not */
        float sum = 0.0f;
        for (int32_t i = 0; i < n; i++) sum += a[i] * 0.0f;
        return sum == 0.0f ? DONE : NOT_FINITE;
    }
    default: typed(o, to, at, bt, ct);
    }
#undef CASE1
#undef CASE2
    return DONE;
}

static FOR int NAMED(run)(const Operation *o, const Operation *end) {
    for (; o < end; o++) {
        const Repeated *const r = o->repeated;
        int status;
        if (!r) {
            if ((status = NAMED(do_one)(o, o->out, o->a, o->b, o->c))) return status;
            continue;
        }
        int64_t at[MOST_DIMENSIONS] = {0};
        int64_t moved[4] = {0};
        for (int64_t axis = 0; axis >= 0;) {
            status = NAMED(do_one)(
                o, o->out + moved[OUT], o->a + moved[A], o->b ? o->b + moved[B] : NULL, o->c ? o->c + moved[C] : NULL);
            if (status) return status;
            for (axis = r->dimensions - 1; axis >= 0; axis--) {
                for (int k = 0; k < 4; k++) moved[k] += r->strides[k][axis];
                if (++at[axis] < r->shape[axis]) break;
                for (int k = 0; k < 4; k++) moved[k] -= r->strides[k][axis] * r->shape[axis];
                at[axis] = 0;
            }
        }
    }
    return DONE;
}
#undef vf
#undef vi
#undef vu
#undef near
#undef near_int
#undef LOAD
#undef STORE
#undef STORE_INT
#undef ALL
#undef ALL_INT
#undef TO_FLOAT
#undef AS_INT
#undef AS_FLOAT
#undef WHERE
#undef COUNTED
#undef GATHERED
#undef STRAIGHT
