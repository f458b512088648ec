/* The operations for each kind of processor that this is compiled for, and which of them runs here. */
#include "runners.h"

#include <math.h>
#include <stddef.h>
#include <string.h>
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#define EVERY(i, count) _Pragma("GCC unroll 16") for (int i = 0; i < (count); i++)
#else
#define INLINE inline
#define EVERY(i, count) for (int i = 0; i < (count); i++)
#endif
#define WIDE 64   /* columns in a block of the weights of a product */
#define MIDDLE 32 /* likewise at their end */
#define NARROW 16
#define ROUNDED(n) (((n) + NARROW - 1) / NARROW * NARROW)

#if defined(__GNUC__)
static const int32_t counted[16] __attribute__((aligned(64))) = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#endif

static INLINE float base_add(float x, float y) { return x + y; }
static INLINE float base_maximum(float x, float y) { return x > y || x != x ? x : y; }
static INLINE float base_minimum(float x, float y) { return x < y || x != x ? x : y; }

static double element(const char *at, int type, int64_t place) {
    switch (type) {
    case INT32: return ((const int32_t *)at)[place];
    case INT64: return (double)((const int64_t *)at)[place];
    case BOOL: return at[place] != 0;
    case INT8: return ((const int8_t *)at)[place];
    case UINT8: return ((const uint8_t *)at)[place];
    default: return ((const float *)at)[place];
    }
}

static void put(char *at, int type, int64_t place, double x) {
    switch (type) {
    case INT32: ((int32_t *)at)[place] = (int32_t)x; break;
    case INT64: ((int64_t *)at)[place] = (int64_t)x; break;
    case BOOL: at[place] = x != 0; break;
    case INT8: ((int8_t *)at)[place] = (int8_t)x; break;
    case UINT8: ((uint8_t *)at)[place] = (uint8_t)x; break;
    default: ((float *)at)[place] = (float)x;
    }
}

static double value_of(int kind, double x, double y, double z) {
    switch (kind) {
    case COPY: return x;
    case ABSOLUTE: return fabs(x);
    case NEGATIVE: return -x;
    case SQUARE: return x * x;
    case RECIPROCAL: return 1.0 / x;
    case SQRT: return sqrt(x);
    case EXP: return exp(x);
    case LOGISTIC: return 1.0 / (1.0 + exp(-x));
    case TANH: return tanh(x);
    case LOG: return log(x);
    case ERF: return erf(x);
    case ADD: return x + y;
    case SUBTRACT: return x - y;
    case MULTIPLY: return x * y;
    case DIVIDE: return x / y;
    case MAXIMUM: return x > y || x != x ? x : y;
    case MINIMUM: return x < y || x != x ? x : y;
    case POWER: return pow(x, y);
    case SELECT: return x != 0 ? y : z;
    case EQUAL: return x == y;
    case NOT_EQUAL: return x != y;
    case GREATER: return x > y;
    case GREATER_EQUAL: return x >= y;
    case LESS: return x < y;
    case LESS_EQUAL: return x <= y;
    case AND: return x != 0 && y != 0;
    case OR: return x != 0 || y != 0;
    default: return x == 0; /* NOT */
    }
}

/* Any types, one element at a time. A sum, product or quotient of two float32 is rounded as if computed in float32. */
static void typed(const Operation *o, char *out, const char *a, const char *b, const char *c) {
    const int kind = o->code - TYPED;
    const int type[4] = {o->type & 15, o->type >> 4 & 15, o->type >> 8 & 15, o->type >> 12 & 15};
    for (int64_t i = 0; i < o->n; i++) {
        const double x = element(a, type[A], i * o->stride[A]);
        const double y = b ? element(b, type[B], i * o->stride[B]) : 0.0;
        const double z = c ? element(c, type[C], i * o->stride[C]) : 0.0;
        put(out, type[OUT], i * o->stride[OUT], value_of(kind, x, y, z));
    }
}

static int row(const Operation *o, char *out, const char *table, const char *number) {
    const int64_t id = o->type == INT64 ? *(const int64_t *)number : *(const int32_t *)number;
    if (id < 0 || id >= o->m) return NO_SUCH_ROW;
    memcpy(out, table + id * o->n, (size_t)o->n);
    return DONE;
}

/* Vectors of 4 (SSE2, NEON), or none. */
#define NAMED(x) base_kind_##x
#define FOR
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__) || defined(__ARM_NEON))
#define LANES 4
#if defined(__x86_64__)
static INLINE __m128i signed_of(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); }
#define ADD_PAIRS(sum, x, p) \
    ((sum) + (vi)_mm_madd_epi16((__m128i)(x), signed_of(_mm_loadl_epi64((const __m128i *)(p)))))
#else
static INLINE int32x4_t products_of_pairs(int16x8_t x, int16x8_t w) {
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(w)), high = vmull_s16(vget_high_s16(x), vget_high_s16(w));
    return vcombine_s32(vpadd_s32(vget_low_s32(low), vget_high_s32(low)), vpadd_s32(vget_low_s32(high), vget_high_s32(high)));
}
#define ADD_PAIRS(sum, x, p) \
    ((sum) + (vi)products_of_pairs(vreinterpretq_s16_s32((int32x4_t)(x)), vmovl_s8(vld1_s8(p))))
#endif
#if defined(__aarch64__)
#define FROM_HALF(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#endif
#else
#define LANES 1
#define ADD_PAIRS(sum, x, p) ((sum) + (int16_t)((x) & 0xffff) * (p)[0] + ((x) >> 16) * (p)[1])
#endif
#include "kernels.h"
#undef NAMED
#undef FOR
#undef LANES
#undef FROM_HALF
#undef ADD_PAIRS

#if defined(__GNUC__) && defined(__x86_64__)
#define NAMED(x) avx2_##x
#define FOR __attribute__((target("avx2,fma,f16c")))
#define LANES 8
#define FROM_HALF(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define ADD_PAIRS(sum, x, p) \
    ((sum) + (vi)_mm256_madd_epi16((__m256i)(x), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p)))))
#include "kernels.h"
#undef NAMED
#undef FOR
#undef LANES
#undef FROM_HALF
#undef ADD_PAIRS
#define NAMED(x) avx512_##x
#define FOR __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,prefer-vector-width=512")))
#define LANES 16
#define STORE_FIRST(p, x, count) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (count)) - 1), (__m512)(x))
#define FROM_HALF(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define ADD_PAIRS(sum, x, p) \
    ((sum) + (vi)_mm512_madd_epi16((__m512i)(x), _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(p)))))
#include "kernels.h"
#endif

const Kind kinds[] = {
#if defined(__GNUC__) && defined(__x86_64__)
    {"AVX-512", 1, avx512_run},
    {"AVX2", 1, avx2_run},
    {"SSE2", 0, base_kind_run},
#elif defined(__aarch64__)
    {"NEON", 1, base_kind_run},
#elif defined(__GNUC__) && defined(__ARM_NEON)
    {"NEON", 0, base_kind_run},
#else
    {"plain C", 0, base_kind_run},
#endif
};
const int kinds_compiled = sizeof kinds / sizeof *kinds;

int runs_here(int kind) {
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
    if (kind == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && runs_here(1);
    if (kind == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* all that have these have f16c */
#endif
    (void)kind;
    return 1;
}
