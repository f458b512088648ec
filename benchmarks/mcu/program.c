/* Steps a printed model on a bare core: the self-test, then STEPS carried steps. What it finds goes out by semihosting,
   a line of hexadecimal for each number. "S": error of the self-test; "O": an output; "C": counts of a loop of known
   length; "I": counts of all steps; "T": bytes of stack that a step took.

   model.h and inputs.h are made by emulate.py: START, STEP(t), OUTPUT(i), OUTPUTS, SELFTEST, STEPS. */
#include "model.h"
#include "inputs.h"

static void put(char kind, uint32_t value);
static uint32_t count(void); /* instructions, or cycles that stand for them */

#ifdef __arm__
extern uint32_t _stack_top, _data_load, _data, _edata, _bss, _ebss;
void start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[4] = {&_stack_top, (void *)start, (void *)start,
                                                                                 (void *)start};
static int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
#define SYSTICK ((volatile uint32_t *)0xE000E010)
static uint32_t count(void) { return 0xFFFFFF - SYSTICK[2]; }
static uint32_t known_loop(void) /* 200,000 instructions */
{
    uint32_t n = 100000;
    const uint32_t before = count();
    __asm__ volatile(".syntax unified\n1: subs %0, #1\n bne 1b" : "+l"(n) : : "cc");
    return (count() - before) & 0xFFFFFF;
}
static uint32_t *stack_pointer(void)
{
    uint32_t *now;
    __asm__ volatile("mov %0, sp" : "=r"(now));
    return now;
}
#define WRITE 4
#define EXIT(ok) semihost(0x18, (void *)((ok) ? 0x20026 : 0x20023))
#else
static long semihost(long operation, const void *argument)
{
    register long a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n.option norvc\n.balign 16\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}
static uint32_t count(void)
{
    uint32_t value;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(value));
    return value;
}
static uint32_t known_loop(void)
{
    uint32_t n = 100000;
    const uint32_t before = count();
    __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(n));
    return count() - before;
}
static uint32_t *stack_pointer(void)
{
    uint32_t *now;
    __asm__ volatile("mv %0, sp" : "=r"(now));
    return now;
}
#define WRITE 4
static void leave(void)
{
    static const long reason[2] = {0x20026, 0};
    semihost(0x18, (void *)reason[0]);
}
#define EXIT(ok) leave()
#endif

static void put(char kind, uint32_t value)
{
    static char line[11];
    line[0] = kind;
    for (int i = 0; i < 8; i++) {
        const int digit = (int)((value >> (28 - 4 * i)) & 15);
        line[1 + i] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    line[9] = '\n';
    line[10] = 0;
    semihost(WRITE, line);
}

static void put_float(char kind, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(kind, bits);
}

#define PAINTED 1024 /* words below the stack pointer */
__attribute__((noinline)) static void paint(void)
{
    uint32_t *now = stack_pointer();
    for (volatile uint32_t *p = now - PAINTED; p < now - 8; p++) *p = 0x5AFE5AFEu;
}
__attribute__((noinline)) static uint32_t painted_over(void)
{
    uint32_t *now = stack_pointer(), *p = now - PAINTED + 16;
    while (p < now && *(volatile uint32_t *)p == 0x5AFE5AFEu) p++;
    return (uint32_t)(now - p) * 4;
}

static int run(void)
{
    uint32_t all = 0;
    put('C', known_loop());
    put_float('S', SELFTEST);
    START;
    paint();
    STEP(0);
    put('T', painted_over());
    START;
    for (int t = 0; t < STEPS; t++) {
        const uint32_t before = count();
        const int code = STEP(t);
        all += (count() - before) & 0xFFFFFF;
        if (code) return code;
        for (int i = 0; i < OUTPUTS; i++) put_float('O', OUTPUT(i));
    }
    put('I', all);
    return 0;
}

#ifdef __arm__
void start(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    for (uint32_t *a = &_data, *b = &_data_load; a < &_edata;) *a++ = *b++;
    for (uint32_t *a = &_bss; a < &_ebss;) *a++ = 0;
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5;
    EXIT(run() == 0);
    for (;;) {}
}
#else
int main(void)
{
    run();
    EXIT(1);
    return 0;
}
#endif
