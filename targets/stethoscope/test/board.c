/* Start of a bare Cortex-M under QEMU with semihosting, its SysTick clock and its stack. */
#include "board.h"

#include <stdlib.h>

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define TICKS 0x00ffffffu
#define PAINT 0xACACACACu

extern uint32_t board_bss_start[];
extern uint32_t board_bss_end[];
extern uint32_t board_stack_low[];
extern uint32_t board_stack_top[];

extern int main(void);
extern void initialise_monitor_handles(void);

uint32_t board_ticks(void)
{
    return SYST_CVR;
}

uint32_t board_ticks_since(uint32_t start)
{
    return (start - SYST_CVR) & TICKS;
}

void board_paint_stack(void)
{
    volatile uint32_t here = 0;
    for (volatile uint32_t *word = board_stack_low; word < &here; ++word) {
        *word = PAINT;
    }
}

uint32_t board_stack_bytes(void)
{
    volatile uint32_t here = 0;
    const volatile uint32_t *word = board_stack_low;
    while ((*word == PAINT) && (word < &here)) {
        ++word;
    }
    return (uint32_t)((uintptr_t)&here - (uintptr_t)word);
}

static void board_fault(void)
{
    _Exit(1);
}

__attribute__((noreturn, used)) static void board_reset(void)
{
    CPACR |= 0xFu << 20; /* the floating-point unit */
    __asm__ volatile("dsb\n\tisb");
    for (uint32_t *word = board_bss_start; word < board_bss_end; ++word) {
        *word = 0;
    }
    SYST_RVR = TICKS;
    SYST_CVR = 0;
    SYST_CSR = 5; /* the core's clock, no interrupt */
    initialise_monitor_handles();
    exit(main());
}

typedef void (*board_vector_t)(void);

extern const board_vector_t board_vectors[16];

__attribute__((section(".vectors"), used)) const board_vector_t board_vectors[16] = {
    (board_vector_t)(uintptr_t)board_stack_top,
    board_reset,
    board_fault,
    board_fault,
    board_fault,
    board_fault,
    board_fault,
};
