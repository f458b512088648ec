/* Fails or kills at the n-th write or sync of a file in a folder; preloaded by faults.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KILL = -1, KILL_IN_THE_MIDDLE = -2, NO_ROOM_IN_THE_MIDDLE = -3 };

static char folder[PATH_MAX];
static long calls, first;
static int kind;       /* an errno, or one of the above */
static double seconds; /* for which calls fail, from the first one on; 0: that one alone */
static double until;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

/* Count calls on files in `path`, and let the call number `number`, from 1, be the first that fails. */
void faults_set(const char *path, long number, int what, double lasting)
{
    strncpy(folder, path, sizeof folder - 1);
    calls = 0, first = number, kind = what, seconds = lasting, until = 0;
}

long faults_calls(void) { return calls; }

static int is_inside(int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && !strncmp(path, folder, strlen(folder));
}

/* Return whether this call fails: 1 if it is the first one. */
static int is_due(int file)
{
    if (!folder[0] || !is_inside(file))
        return 0;
    if (++calls == first) {
        until = now() + seconds;
        return 1;
    }
    return calls > first && first > 0 && now() < until ? 2 : 0;
}

static int fail(void)
{
    if (kind == KILL || kind == KILL_IN_THE_MIDDLE)
        kill(getpid(), SIGKILL);
    errno = kind == NO_ROOM_IN_THE_MIDDLE ? ENOSPC : kind;
    return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRITE(name, arguments, rest)                                        \
    ssize_t name arguments                                                  \
    {                                                                       \
        int due = is_due(file), half = kind <= KILL_IN_THE_MIDDLE;          \
        ssize_t done = due == 1 && half && size > 1 ? REAL(name)(file, content, size / 2 rest) : 0; \
        if (due && done && kind == NO_ROOM_IN_THE_MIDDLE)                   \
            return done;                                                    \
        return due ? fail() : REAL(name)(file, content, size rest);         \
    }
#define COMMA ,

WRITE(write, (int file, const void *content, size_t size), )
WRITE(pwrite, (int file, const void *content, size_t size, off_t at), COMMA at)
WRITE(pwrite64, (int file, const void *content, size_t size, off64_t at), COMMA at)

int fsync(int file) { return is_due(file) ? fail() : REAL(fsync)(file); }
int fdatasync(int file) { return is_due(file) ? fail() : REAL(fdatasync)(file); }
