/* The Python module `_engine`: runs the operations of program.h.
 *
 * By the limited API of Python 3.10: one compiled module for it and all later versions. What is not checked here is
 * checked by the Python code that makes programs; addresses are those of arrays that `keep` holds. */
#define Py_LIMITED_API 0x030a0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>
#include <structmember.h>

#include "runners.h"

enum { IDLE = -1, PENDING = -2 }; /* are no ids */

/* After a step `bytes` bytes are copied from one place to another: the next state over the state. */
typedef struct { char *target; const char *source; int64_t bytes; } Move;

/* Bytes in the memory of an engine, and as many in each row of an array of a batch. */
typedef struct { char *place, *rows; int64_t bytes; } Piece;

/* A program and its memory; made by numpy, see program.py. The first `prepared` operations do not depend on what is read. */
typedef struct {
    const Operation *operations;
    const Move *moves;
    int32_t *symbol;
    int64_t count, prepared, move_count, symbols;
    int32_t kind; /* of processor */
    int32_t later; /* do the first operations of the next step when there is time, instead of before it */
} Program;

/* clang-format off */
typedef struct {
    PyObject_HEAD
    Program program;
    PyObject *keep; /* the memory */
    long long steps;
    long pending; /* IDLE, or PENDING: the first operations of the next step are to be done, or the id whose answer is
                   * there although it has not been stepped */
} Engine;
typedef struct {
    PyObject_HEAD
    Engine *engine;   /* NULL: the state is elsewhere */
    PyObject *answer; /* the main output, an array in the memory of the engine */
    PyObject *copy;   /* its method */
} Steps;
/* clang-format on */

static int run_from(const Program *p, int64_t first, int64_t end) {
    return first == end ? DONE : kinds[p->kind].run(p->operations + first, p->operations + end);
}

/* Compute the answer to `id` and the next state; the state stays. */
static int compute(Engine *e, int32_t id) {
    const Program *p = &e->program;
    int status = DONE;
    if (e->pending == id) return DONE;
    if (e->pending == PENDING || !p->later) status = run_from(p, 0, p->prepared);
    e->pending = IDLE;
    *p->symbol = id;
    return status ? status : run_from(p, p->prepared, p->count);
}

/* Let the next state become the state. */
static void move_on(Engine *e) {
    const Program *p = &e->program;
    for (const Move *m = p->moves, *end = m + p->move_count; m < end; m++) memcpy(m->target, m->source, (size_t)m->bytes);
    e->steps++;
    if (p->later) e->pending = PENDING;
}

static void settle(Engine *e) {
    if (e->pending == PENDING) {
        run_from(&e->program, 0, e->program.prepared);
        e->pending = IDLE;
    }
}

/* Return the id that is the only argument, or -1 without an exception. */
static long id_of(PyObject *const *arguments, Py_ssize_t count, const Program *p) {
    if (count != 1 || !PyLong_CheckExact(arguments[0])) return -1;
    const long id = PyLong_AsLong(arguments[0]);
    if (id == -1 && PyErr_Occurred()) PyErr_Clear();
    return id >= 0 && id < p->symbols ? id : -1;
}

static PyObject *engine_step(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Engine *e = (Engine *)self;
    const long id = id_of(arguments, count, &e->program);
    if (id < 0) return PyErr_Format(PyExc_ValueError, "not an id");
    const int status = compute(e, (int32_t)id);
    if (status == DONE) move_on(e);
    return PyLong_FromLong(status);
}

static PyObject *engine_peek(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Engine *e = (Engine *)self;
    const long id = id_of(arguments, count, &e->program);
    if (id < 0) return PyErr_Format(PyExc_ValueError, "not an id");
    settle(e);
    e->pending = IDLE;
    return PyLong_FromLong(compute(e, (int32_t)id));
}

static PyObject *engine_expect(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Engine *e = (Engine *)self;
    PyObject *status = engine_peek(self, arguments, count);
    if (status && PyLong_AsLong(status) == DONE) e->pending = PyLong_AsLong(arguments[0]);
    return status;
}

static PyObject *engine_settle(PyObject *self, PyObject *nothing) {
    (void)nothing;
    settle((Engine *)self);
    Py_RETURN_NONE;
}

/* run(ids, count, answers, answer, bytes): step `count` int32 ids, without the lock of the interpreter; copy the
 * `bytes` bytes of the answer at `answer` to `answers`, one behind the other, unless `answers` is 0. */
static PyObject *engine_run(PyObject *self, PyObject *arguments) {
    Engine *e = (Engine *)self;
    unsigned long long ids, answers, answer;
    Py_ssize_t count, bytes;
    int status = DONE;
    if (!PyArg_ParseTuple(arguments, "KnKKn", &ids, &count, &answers, &answer, &bytes)) return NULL;
    const int32_t *const id = (const int32_t *)(uintptr_t)ids;
    char *const rows = (char *)(uintptr_t)answers;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < count && status == DONE; i++) {
        status = compute(e, id[i]);
        if (status != DONE) break;
        if (rows) memcpy(rows + i * bytes, (const char *)(uintptr_t)answer, (size_t)bytes);
        move_on(e);
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(status);
}

/* run_rows(ids, count, before, before_count, after, after_count): step each stream of a batch once, without the lock. Row
 * r of the pieces `before` is copied into the memory of the engine before its step, and of those `after` from it. What is
 * not finite is left to the caller to find. */
static PyObject *engine_run_rows(PyObject *self, PyObject *arguments) {
    Engine *e = (Engine *)self;
    unsigned long long ids, before, after;
    Py_ssize_t count, before_count, after_count;
    int status = DONE;
    if (!PyArg_ParseTuple(arguments, "KnKnKn", &ids, &count, &before, &before_count, &after, &after_count)) return NULL;
    const Piece *const in = (const Piece *)(uintptr_t)before, *const out = (const Piece *)(uintptr_t)after;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t row = 0; row < count; row++) {
        for (const Piece *p = in; p < in + before_count; p++)
            memcpy(p->place, p->rows + row * p->bytes, (size_t)p->bytes);
        status = compute(e, ((const int32_t *)(uintptr_t)ids)[row]);
        if (status != DONE && status != NOT_FINITE) break;
        status = DONE;
        for (const Piece *p = out; p < out + after_count; p++)
            memcpy(p->rows + row * p->bytes, p->place, (size_t)p->bytes);
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(status);
}

static PyObject *engine_new(PyTypeObject *type, PyObject *arguments, PyObject *names) {
    unsigned long long operations, moves, symbol;
    long long count, prepared, move_count, symbols;
    int kind, later;
    PyObject *keep;
    (void)names;
    if (!PyArg_ParseTuple(arguments, "KLLKLKLipO", &operations, &count, &prepared, &moves, &move_count, &symbol, &symbols,
                          &kind, &later, &keep))
        return NULL;
    if (kind < 0 || kind >= kinds_compiled || !runs_here(kind)) return PyErr_Format(PyExc_ValueError, "no such kind");
    Engine *e = (Engine *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!e) return NULL;
    e->program = (Program){(const Operation *)(uintptr_t)operations, (const Move *)(uintptr_t)moves,
                           (int32_t *)(uintptr_t)symbol, count, prepared, move_count, symbols, kind, later};
    e->steps = 0;
    e->pending = later ? PENDING : IDLE;
    Py_INCREF(keep);
    e->keep = keep;
    return (PyObject *)e;
}

static void engine_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Engine *)self)->keep);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Step where `self` is bound to an engine and all is well; else NULL without an exception, and nothing has moved. */
static Engine *step_of(Steps *s, PyObject *const *arguments, Py_ssize_t count) {
    Engine *e = s->engine;
    if (!e) return NULL;
    const long id = id_of(arguments, count, &e->program);
    return id < 0 || compute(e, (int32_t)id) != DONE ? NULL : e;
}

static PyObject *steps_step_id(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Steps *s = (Steps *)self;
    Engine *e = step_of(s, arguments, count);
    if (!e) { /* the first step, a wrong id, a failure: the long way, which says what is wrong */
        if (count == 1) return PyObject_CallMethod(self, "_step_any_id", "O", arguments[0]);
        return PyErr_Format(PyExc_TypeError, "step_id() takes 1 argument, the id of a symbol, not %zd", count);
    }
    move_on(e);
    Py_INCREF(s->answer);
    return s->answer;
}

/* The same, with a copy of the answer; None where `step_id` goes the long way. */
static PyObject *steps_copied(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Steps *s = (Steps *)self;
    Engine *e = step_of(s, arguments, count);
    if (!e) Py_RETURN_NONE;
    PyObject *copied = PyObject_CallObject(s->copy, NULL);
    if (copied) move_on(e);
    return copied;
}

/* _bind(engine, answer), or _bind(None, None). */
static PyObject *steps_bind(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Steps *s = (Steps *)self;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "an engine and its answer");
    PyObject *const old[3] = {(PyObject *)s->engine, s->answer, s->copy};
    PyObject *copy = NULL;
    if (arguments[0] != Py_None && !(copy = PyObject_GetAttrString(arguments[1], "copy"))) return NULL;
    s->engine = copy ? (Engine *)arguments[0] : NULL;
    s->answer = copy ? arguments[1] : NULL;
    s->copy = copy;
    Py_XINCREF((PyObject *)s->engine);
    Py_XINCREF(s->answer);
    for (int k = 0; k < 3; k++) Py_XDECREF(old[k]);
    Py_RETURN_NONE;
}

static void steps_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Steps *s = (Steps *)self;
    Py_XDECREF((PyObject *)s->engine);
    Py_XDECREF(s->answer);
    Py_XDECREF(s->copy);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

#define FAST(function) (PyCFunction)(void *)(function), METH_FASTCALL
static PyMethodDef engine_methods[] = {
    {"step", FAST(engine_step), "Step the symbol with this id; return a status. Unless it is 0 the state stays."},
    {"peek", FAST(engine_peek), "Compute the answer to the symbol with this id; return a status. The state stays."},
    {"expect", FAST(engine_expect), "Compute the answer to this id ahead of its step; return a status."},
    {"settle", engine_settle, METH_NOARGS, "Do what a step has left for later."},
    {"run", engine_run, METH_VARARGS, "Step many ids; return a status."},
    {"run_rows", engine_run_rows, METH_VARARGS, "Step each stream of a batch; return a status."},
    {NULL, NULL, 0, NULL}};
static PyMemberDef engine_members[] = {
    {"steps", T_LONGLONG, offsetof(Engine, steps), 0, "How many symbols have moved the state."},
    {"pending", T_LONG, offsetof(Engine, pending), 0, "IDLE, PENDING, or the id whose answer is expected."},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot engine_slots[] = {
    {Py_tp_new, engine_new}, {Py_tp_dealloc, engine_dealloc}, {Py_tp_methods, engine_methods},
    {Py_tp_members, engine_members}, {Py_tp_doc, "A program and the state it steps."}, {0, NULL}};
static PyType_Spec engine_spec = {"_engine.Engine", sizeof(Engine), 0, Py_TPFLAGS_DEFAULT, engine_slots};

static PyMethodDef steps_methods[] = {
    {"step_id", FAST(steps_step_id), "Feed the symbol with an id and return the main output where it is."},
    {"_copied", FAST(steps_copied), "The same with a copy of the output; None: go the long way."},
    {"_bind_engine", FAST(steps_bind), "Step this engine, whose main output is in this array; or None."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot steps_slots[] = {
    {Py_tp_dealloc, steps_dealloc}, {Py_tp_methods, steps_methods},
    {Py_tp_doc, "The shortest step of a stream; the class of streams that inherits it has `_step_any_id`."}, {0, NULL}};
static PyType_Spec steps_spec = {
    "_engine.Steps", sizeof(Steps), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, steps_slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_engine", "Runs steps.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__engine(void) {
    PyObject *made = PyModule_Create(&module), *engine = PyType_FromSpec(&engine_spec), *steps = PyType_FromSpec(&steps_spec);
    PyObject *here = PyList_New(0);
    if (!made || !engine || !steps || !here) return NULL;
    for (int kind = 0; kind < kinds_compiled; kind++) {
        PyObject *one = Py_BuildValue("isi", kind, kinds[kind].name, kinds[kind].halves);
        if (!one || (runs_here(kind) && PyList_Append(here, one))) return NULL;
        Py_DECREF(one);
    }
    if (PyModule_AddObject(made, "Engine", engine) || PyModule_AddObject(made, "Steps", steps) ||
        PyModule_AddObject(made, "KINDS", here) || PyModule_AddIntConstant(made, "OPERATION_BYTES", sizeof(Operation)) ||
        PyModule_AddIntConstant(made, "REPEATED_BYTES", sizeof(Repeated)))
        return NULL;
    return made;
}
