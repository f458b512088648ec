#ifndef STEPCELL_RUNNERS_H
#define STEPCELL_RUNNERS_H
#include "program.h"

typedef struct {
    const char *name;
    int halves; /* whether its products take float16 */
    Runner run;
} Kind;

extern const Kind kinds[]; /* of processors, the fastest first; the last one runs everywhere */
extern const int kinds_compiled;
int runs_here(int kind);
#endif
