/* A step as the engine runs it: an array of operations on memory that stays where it is.
 * program.py makes the same structures with numpy, so the layouts here and there must be alike. */
#ifndef STEPCELL_PROGRAM_H
#define STEPCELL_PROGRAM_H
#include <stdint.h>

enum {
    /* one operand, element by element */
    COPY, ABSOLUTE, NEGATIVE, SQUARE, RECIPROCAL, SQRT, EXP, LOGISTIC, TANH, LOG, ERF,
    /* two operands, element by element */
    ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM, POWER,
    /* the others */
    PRODUCT, MATMUL, SUM, MAX, MIN, SOFTMAX, ROW, CHECK,
    /* elements of any type, computed in double: TYPED + the kind */
    TYPED
};
enum { /* kinds that TYPED operations have beside those above */
    SELECT = 26, EQUAL, NOT_EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, AND, OR, NOT
};
enum { FLOAT32, INT32, INT64, BOOL, INT8, UINT8 };  /* types of elements */
enum { WHOLE, HALF, BYTES };           /* how the weights of a product are stored: float32, float16, int8 with scales */

#define MOST_DIMENSIONS 6
#define MOST_ROWS_OF_BYTES 4096 /* of weights that are stored as int8 */
enum { OUT, A, B, C };

/* An operation is done again and again, with its addresses moved on. */
typedef struct {
    int64_t dimensions, shape[MOST_DIMENSIONS], strides[4][MOST_DIMENSIONS]; /* bytes; of OUT, A, B, C */
} Repeated;

/* out = a op b. `n` elements with `stride` elements from one to the next.
 *   PRODUCT: out (n) = b (n; NULL: zeros) + a (m) @ weights c, in blocks; `type` says how these are stored. BYTES: with
 *     scales behind them, and a is brought to integers of 16 bits, at most stride[A].
 *   MATMUL: out (n) = a (m) @ b (m, n); stride[C] is that of b from row to row.
 *   ROW: out = row number *b of the m rows of n bytes at a; type: that of *b.
 *   CHECK: the n numbers at a must be finite.
 *   TYPED: type has four bits for each of OUT, A, B, C. */
typedef struct {
    int32_t code, type, n, m, stride[4];
    char *out;
    const char *a, *b, *c;
    const Repeated *repeated; /* NULL: once */
} Operation;

enum { DONE, NO_SUCH_ROW, NOT_FINITE };
typedef int (*Runner)(const Operation *first, const Operation *end); /* one of the above */
#endif
