/* The board that the check runs on: a clock that counts down, and the stack. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#if defined(__arm__)

uint32_t board_ticks(void);
uint32_t board_ticks_since(uint32_t start);
void board_paint_stack(void);
uint32_t board_stack_bytes(void);

#else /* a host: neither is measured */

static inline uint32_t board_ticks(void) { return 0; }
static inline uint32_t board_ticks_since(uint32_t start) { return start; }
static inline void board_paint_stack(void) {}
static inline uint32_t board_stack_bytes(void) { return 0; }

#endif

#endif
